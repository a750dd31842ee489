"""Every method of the published clients, and what they make of the server's answers."""

from __future__ import annotations

import os
import uuid
from datetime import timedelta

import pytest
from aod import (
    AodHTTPError,
    AsyncClient,
    AuthError,
    Client,
    ConflictError,
    NotFoundError,
    RateLimitError,
    ValidationError,
)
from conftest import AsyncDriver, Driver

RUNTIME = {"runtime": "demo", "model": "demo/echo"}
NOWHERE = uuid.uuid4()


def agent(driver: Driver, **more):
    fields = {"name": "sdk", **RUNTIME, **more}
    return driver.call(driver.client.agents.create, **fields)


def finished(driver: Driver, prompt: str, **more):
    """A session whose first turn has ended."""
    ack = driver.call(
        driver.client.sessions.create, agent_id=agent(driver).id, prompt=prompt, **more
    )
    return ack, driver.events(ack.id)


def test_health(driver):
    assert driver.call(driver.client.health)["status"] == "ok"


def test_agents(driver):
    agents = driver.client.agents
    environment = driver.call(driver.client.environments.create, name="for-agents")
    made = agent(
        driver,
        system="be brief",
        description="for tests",
        environment_id=environment.id,
        skills=[{"name": "a-skill", "description": "d", "content": "c"}],
        mcp_servers=[{"name": "m", "type": "stdio", "command": "run", "env": {"K": "v"}}],
        metadata={"team": "fruit"},
    )
    assert made.type == "agent" and made.version == 1 and made.archived_at is None
    assert made.environment_id == environment.id
    assert made.mcp_servers[0].command == "run"
    assert made.created_at.utcoffset() == timedelta(0)
    assert driver.call(agents.get, made.id) == made
    assert made in driver.call(agents.list)

    changed = driver.call(
        agents.update, made.id, version=1, name="changed", metadata={"team": "", "size": "xl"}
    )
    assert (changed.version, changed.name, changed.metadata) == (2, "changed", {"size": "xl"})
    assert [v.version for v in driver.call(agents.versions, made.id)] == [2, 1]
    assert driver.call(agents.versions, made.id)[1].name == "sdk"
    with pytest.raises(ConflictError) as stale:
        driver.call(agents.update, made.id, version=1, name="late")
    assert stale.value.detail == "Version mismatch: expected 2, got 1"

    archived = driver.call(agents.archive, made.id)
    assert archived.archived_at is not None
    assert made.id not in [a.id for a in driver.call(agents.list)]
    assert driver.call(agents.get, made.id).archived_at is not None


def test_environments(driver):
    environments = driver.client.environments
    made = driver.call(
        environments.create,
        name="sdk",
        packages={"pip": ["requests"]},
        env_vars={"KEY": "value"},
        setup_script="true",
        networking={"type": "limited", "allowed_hosts": ["example.com"]},
    )
    assert made.type == "environment" and made.version == 1
    assert made.networking.type == "limited"
    assert made.networking.allowed_hosts == ["example.com"]
    assert driver.call(environments.get, made.id) == made
    assert made in driver.call(environments.list)
    changed = driver.call(
        environments.update,
        made.id,
        version=1,
        name="changed",
        packages={},
        env_vars={},
        setup_script="false",
        networking={"type": "unrestricted"},
    )
    assert (changed.version, changed.packages) == (2, {})
    versions = driver.call(environments.versions, made.id)
    assert [v.version for v in versions] == [2, 1]
    assert driver.call(environments.archive, made.id).archived_at is not None
    driver.call(environments.delete, made.id)
    with pytest.raises(NotFoundError):
        driver.call(environments.get, made.id)


def test_sessions(driver):
    sessions = driver.client.sessions
    environment = driver.call(driver.client.environments.create, name="e")
    ack, events = finished(driver, "hello", environment_id=environment.id, timeout=60)
    assert ack.status == "pending" and ack.current_turn == 1
    assert ack.environment_id == environment.id
    assert ack.stream_url == f"/sessions/{ack.id}/stream"
    assert events[0].type == "start" and events[0].extra["runtime"] == "demo"
    assert events[-1].type == "exit" and events[-1].extra["code"] == 0
    kinds = {event.type for event in events}
    assert {"start", "stage", "turn_start", "output", "exit"} == kinds

    session = driver.call(sessions.get, ack.id)
    assert (session.status, session.exit_code, session.turn_count) == ("completed", 0, 1)
    assert session in driver.call(sessions.list)

    # Resumed after each event, every later one comes once.
    numbered = [e for e in events if e.type not in ("start", "turn_start")]
    assert [e.id for e in numbered] == list(range(1, len(numbered) + 1))
    for seen in numbered[:-1]:
        rest = [e for e in driver.events(ack.id, since=seen.id) if e.type not in ("start", "turn_start")]
        assert rest == [e for e in numbered if e.id > seen.id]

    again = driver.call(sessions.prompt, ack.id, prompt="and again", timeout=30)
    assert (again.status, again.current_turn) == ("pending", 2)
    output = "".join(e.extra["data"] for e in driver.events(ack.id) if e.type == "output")
    assert "You said: and again" in output
    turns = driver.call(sessions.turns, ack.id)
    assert [(t.turn_number, t.prompt, t.status) for t in turns] == [
        (1, "hello", "completed"),
        (2, "and again", "completed"),
    ]
    assert all(t.started_at <= t.ended_at for t in turns)
    assert driver.call(sessions.delete, ack.id) is None
    with pytest.raises(NotFoundError):
        driver.call(sessions.get, ack.id)


def test_terminate(driver):
    sessions = driver.client.sessions
    made = agent(driver)
    ack = driver.call(sessions.create, agent_id=str(made.id), prompt="sleep 600")
    with pytest.raises(ConflictError):
        driver.call(sessions.prompt, ack.id, prompt="more")
    with pytest.raises(ConflictError):
        driver.call(sessions.delete, ack.id)
    stopped = driver.call(sessions.terminate, ack.id)
    assert (stopped.id, stopped.status) == (ack.id, "terminated")
    assert driver.events(ack.id)[-1].type == "terminated"
    # The words for turns stay within the client's four.
    assert [t.status for t in driver.call(sessions.turns, ack.id)] == ["failed"]
    with pytest.raises(ConflictError):
        driver.call(sessions.terminate, ack.id)
    driver.call(sessions.delete, ack.id)


def test_failed_turn(driver):
    ack, events = finished(driver, "exit 3")
    assert events[-1].type == "exit" and events[-1].extra["code"] == 3
    session = driver.call(driver.client.sessions.get, ack.id)
    assert (session.status, session.exit_code) == ("failed", 3)
    streams = {e.extra["stream"] for e in events if e.type == "output"}
    assert streams == {"stdout", "stderr"}


def test_text_with_odd_line_ends(driver):
    """The client splits the stream as Python splits lines."""
    _, events = finished(driver, "a\u0085b\u2028c\u2029d\u000be")
    output = "".join(e.extra["data"] for e in events if e.type == "output")
    assert "a\u0085b\u2028c\u2029d" in output
    numbered = [e.id for e in events if e.type not in ("start", "turn_start")]
    assert numbered == list(range(1, len(numbered) + 1))


def test_not_found(driver):
    client = driver.client
    for method in (
        client.agents.get,
        client.agents.archive,
        client.agents.versions,
        client.environments.get,
        client.environments.archive,
        client.environments.delete,
        client.environments.versions,
        client.sessions.get,
        client.sessions.turns,
        client.sessions.terminate,
        client.sessions.delete,
    ):
        with pytest.raises(NotFoundError) as missing:
            driver.call(method, NOWHERE)
        assert isinstance(missing.value.detail, str)
    with pytest.raises(NotFoundError):
        driver.events(NOWHERE)
    with pytest.raises(NotFoundError):
        driver.call(client.sessions.create, agent_id=NOWHERE, prompt="x")


def test_invalid(driver):
    client = driver.client
    with pytest.raises(ValidationError) as invalid:
        driver.call(client.agents.create, name="", **{**RUNTIME, "model": ""})
    assert {tuple(p["loc"]) for p in invalid.value.detail} == {("body", "name"), ("body", "model")}
    with pytest.raises(ValidationError):
        agent(driver, model="demo/unknown")
    with pytest.raises(AodHTTPError) as unknown:
        agent(driver, runtime="unknown")
    assert unknown.value.status_code == 400
    with pytest.raises(AodHTTPError) as bad:
        driver.events(finished(driver, "x")[0].id, since=-1)
    assert bad.value.status_code == 400


def test_limit(driver):
    sessions = driver.client.sessions
    made = agent(driver)
    started = [
        driver.call(sessions.create, agent_id=made.id, prompt="sleep 600") for _ in range(3)
    ]
    with pytest.raises(RateLimitError) as limit:
        driver.call(sessions.create, agent_id=made.id, prompt="one more")
    assert (limit.value.limit, limit.value.active) == (3, 3)
    for ack in started:
        driver.call(sessions.terminate, ack.id)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_wrong_token(kind):
    wrong = "aod_wrong"
    driver = Driver(Client(token=wrong)) if kind == "sync" else AsyncDriver(AsyncClient(token=wrong))
    with pytest.raises(AuthError):
        driver.call(driver.client.agents.list)
    assert driver.call(driver.client.health)["status"] == "ok"
    driver.close()


@pytest.mark.skipif("AOD_TEST_MODEL_URL" not in os.environ, reason="no stand-in for the model")
def test_formatter(driver):
    """The client's own formatter reads what the real Claude Code wrote."""
    from aod.pretty.claude import ClaudeFormatter

    environment = driver.call(
        driver.client.environments.create,
        name="model",
        env_vars={
            "ANTHROPIC_API_KEY": "sk-ant-test-key",
            "ANTHROPIC_BASE_URL": os.environ["AOD_TEST_MODEL_URL"],
        },
    )
    made = agent(driver, runtime="claude", model="anthropic/claude-sonnet-4-6")
    ack = driver.call(
        driver.client.sessions.create,
        agent_id=made.id,
        environment_id=environment.id,
        prompt="[[bash echo plum]] [[say all done]]",
    )
    formatter = ClaudeFormatter()
    lines = [line for event in driver.events(ack.id) for line in formatter.consume(event)]
    lines += formatter.flush()
    text = "\n".join(lines)
    assert "Session init · model=claude-sonnet-4-6" in text
    assert "Bash · echo plum" in text
    assert "all done" in text
    assert "Done ·" in lines[-1]
