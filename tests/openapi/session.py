"""Runs a session with a client that was made from the server's description."""

import os
import time

from generated.api.agents import agents_create
from generated.api.environments import environments_create
from generated.api.sessions import (
    sessions_create,
    sessions_delete,
    sessions_prompt,
    sessions_read,
    sessions_turns,
)
from generated.client import AuthenticatedClient
from generated.models import (
    Agent,
    CreateAck,
    Detail,
    Environment,
    Error,
    Invalid,
    NewAgent,
    NewEnvironment,
    NewPrompt,
    NewSession,
    PromptAck,
    Session,
    Status,
)

client = AuthenticatedClient(base_url=os.environ["AOD_API_URL"], token=os.environ["AOD_API_TOKEN"])


def ended(session_id) -> Session:
    for _ in range(600):
        session = sessions_read.sync(session_id, client=client)
        assert isinstance(session, Session), session
        if session.status not in (Status.PENDING, Status.RUNNING):
            return session
        time.sleep(0.1)
    raise TimeoutError("the session does not end")


environment = environments_create.sync(client=client, body=NewEnvironment(name="python"))
assert isinstance(environment, Environment), environment
agent = agents_create.sync(
    client=client,
    body=NewAgent(
        name="python", runtime="demo", model="demo/echo", environment_id=environment.id
    ),
)
assert isinstance(agent, Agent), agent
ack = sessions_create.sync(
    client=client, body=NewSession(agent_id=agent.id, prompt="hello", timeout=60)
)
assert isinstance(ack, CreateAck), ack
assert ack.environment_id == environment.id
assert ended(ack.id).status == Status.COMPLETED
again = sessions_prompt.sync(ack.id, client=client, body=NewPrompt(prompt="again"))
assert isinstance(again, PromptAck) and again.current_turn == 2, again
assert ended(ack.id).turn_count == 2
turns = sessions_turns.sync(ack.id, client=client)
assert [turn.prompt for turn in turns.data] == ["hello", "again"], turns

invalid = agents_create.sync(
    client=client, body=NewAgent(name="", runtime="demo", model="demo/echo")
)
assert isinstance(invalid, Invalid), invalid
assert [problem.loc for problem in invalid.detail] == [["body", "name"]], invalid

deleted = sessions_delete.sync(ack.id, client=client)
assert isinstance(deleted, Detail), deleted
missing = sessions_read.sync(ack.id, client=client)
assert isinstance(missing, Error), missing
print("a session of two turns ran")
