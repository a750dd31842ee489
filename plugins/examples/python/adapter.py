"""A runtime adapter in Python, for an agent that counts the words of its prompt.

It is made a component by componentize-py; see README.md. The names are those of
wit/1.0.0/*.wit, in snake case. componentize-py looks for the functions of an interface in a class
of its name, and for the resource in a class `Conversation` of a module `conversations`, which
conversations.py is.
"""

import json
from json.scanner import py_make_scanner

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import (
    content,
    conversations,
    description,
    events,
    input,
    launching,
)

# The "CLI": a shell that reads the prompt and prints JSON, a line at a time.
AGENT = r"""
text=$(cat)
printf '{"kind":"begin","session":"%s"}\n' "$COUNTER_SESSION"
printf '{"kind":"counted","words":%d}\n' "$(printf '%s' "$text" | wc -w)"
printf '{"kind":"end"}\n'
"""


def text(value: str) -> list[content.Fragment]:
    return [content.Fragment_Text(value)]


class Description(exports.Description):
    def describe(self, options: str) -> description.Description:
        # The `options` of the row. An error, told to the operator, is raised as `Err`.
        for unknown in json.loads(options):
            raise Err(f"there is no option {unknown}")
        return description.Description(
            name="counter-py",
            version="0.1.0",
            cli=description.Cli(
                command="sh", version_args=["-c", "echo 1.0.0"], tested="*", install=[]
            ),
            providers=[
                description.Provider(
                    id="counter",
                    endpoint_variable=None,
                    default_endpoint=None,
                    whole_catalog=False,
                )
            ],
            models=[description.Model(id="counter/words", label="Words")],
            credentials=[],
            options=[],
            skills_folder=None,
            resume=description.ResumeStrategy.NONE,
            stop=description.StopMethod.SIGINT,
            exit_grace_ms=5000,
            capabilities=[description.Capability_Interrupt()],
        )


def words(blocks: list[content.Block]) -> str:
    """A prompt as one text. Images and files are named where they stand."""
    return "\n\n".join(
        block.value if isinstance(block, content.Block_Text) else f"[file {block.value.path}]"
        for block in blocks
    )


class Launching(exports.Launching):
    def prepare(self, context: launching.Context, prompt: input.Prompt) -> launching.Launch:
        # What cannot be done is raised as `Err(launching.Refusal(...))`, for the user.
        first = prompt.turn == 1
        return launching.Launch(
            argv=["sh", "-c", AGENT],
            env=[
                launching.Variable(
                    name="COUNTER_SESSION", value=text(context.session_id)
                )
            ],
            withhold=[],
            expose=[],
            stdin=launching.Stdin_Text(text(words(prompt.blocks))),
            files=[],
            delete=[],
            continuity=launching.Continuity.FIRST if first else launching.Continuity.FRESH,
            extras=[],
        )


# Python's usual parser of JSON recurses on the stack of WebAssembly. Where that ends the call ends,
# and nothing can be caught; the parser that is itself in Python raises RecursionError before.
CAREFUL = json.JSONDecoder()
CAREFUL.scan_once = py_make_scanner(CAREFUL)


def parse(line: str) -> object:
    shallow = line.count("[") + line.count("{") < 100
    return json.loads(line) if shallow else CAREFUL.decode(line)


def result(
    stop: events.StopKind, failure: content.Failure | None = None
) -> events.EventBody_TurnResult:
    return events.EventBody_TurnResult(
        events.TurnResult(
            stop=stop,
            text=None,
            structured=None,
            failure=failure,
            native_reason=None,
            duration_ms=None,
        )
    )


def meaning(line: str) -> events.EventBody | None:
    """What one line of stdout means; None for one that is not understood.

    What a CLI prints is not to be trusted: whatever is raised here ends the turn's normalized
    events.
    """
    try:
        said = parse(line)
    except (ValueError, RecursionError):
        return None
    match said:
        case {"kind": "begin", "session": str(session)} if session.isascii():
            return events.EventBody_SessionStarted(events.SessionStarted(session))
        case {"kind": "counted", "words": int(words)}:
            message = events.Message(
                item=None,
                role=events.Role.ASSISTANT,
                text=f"{words} words",
                parts=[],
                aborted=False,
            )
            return events.EventBody_Message(message)
        case {"kind": "end"}:
            return result(events.StopKind.COMPLETED)
        case _:
            return None


def emit(line: int, body: events.EventBody) -> conversations.Action:
    turn = events.TurnReference_Current()
    return conversations.Action_Emit(
        events.Event(line=line, turn=turn, inside=None, body=body)
    )


def nothing() -> conversations.Reaction:
    return conversations.Reaction(actions=[], absorbed=[])


class Conversation(conversations.Conversation):
    """A fold over what one process of the CLI writes: all of its state is in here, and it must not
    depend on the batches. This CLI runs one prompt a process."""

    def __init__(self, context: launching.Context, state: bytes | None) -> None:
        self.ended = False

    def receive(self, input: input.Input) -> conversations.Reaction:
        # A prompt and whatever else it is told. The prompt went by stdin.
        return nothing()

    def feed(
        self, source: conversations.OutputSource, lines: str
    ) -> conversations.Reaction:
        reaction = nothing()
        # The last line of a batch ends with a line feed, unless it is the last of its source.
        for index, line in enumerate(lines.removesuffix("\n").split("\n")):
            if not line.strip():
                reaction.absorbed.append(index)
                continue
            if source == conversations.OutputSource.STDOUT:
                body = meaning(line)
            else:
                body = events.EventBody_Notice(
                    events.Notice(events.Level.WARNING, line, None)
                )
            ends = isinstance(body, events.EventBody_TurnResult)
            if ends and self.ended:
                # There is one in a turn at most.
                body, ends = None, False
            reaction.actions.append(emit(index, body or events.EventBody_Unparsed(line)))
            if ends:
                self.ended = True
                # The turn is over, and so is the process.
                reaction.actions += [
                    conversations.Action_EndTurn(),
                    conversations.Action_Close(),
                ]
        return reaction

    def tick(self, elapsed_ms: int) -> conversations.Reaction:
        return nothing()

    def state(self) -> bytes | None:
        # Nothing is kept between turns.
        return None

    def finish(self, exit: conversations.Exit) -> conversations.Reaction:
        reaction = nothing()
        by_itself = exit.cause in (
            conversations.ExitCause.OWN,
            conversations.ExitCause.CLOSED,
        )
        if by_itself and not self.ended:
            message = exit.stderr_tail or f"the counter ended with code {exit.code}"
            failure = content.Failure(content.FailureKind.CRASH, message, None)
            reaction.actions.append(emit(0, result(events.StopKind.FAILED, failure)))
        return reaction
