"""A runtime adapter in Python, for an agent that counts the words of its prompt.

It is made a component by componentize-py; see README.md. The names are those of
wit/1.0.0/runtime.wit, in snake case. componentize-py looks for the functions in
a class `Adapter`, and for the resource in a class `Turn` of a module `adapter`, which is this one.
"""

import json
from json.scanner import py_make_scanner

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import adapter, types

# The "CLI": a shell that reads the prompt and prints JSON, a line at a time.
AGENT = r"""
text=$(cat)
printf '{"kind":"begin","session":"%s"}\n' "$COUNTER_SESSION"
printf '{"kind":"counted","words":%d}\n' "$(printf '%s' "$text" | wc -w)"
printf '{"kind":"end"}\n'
"""


def text(value: str) -> list[types.Fragment]:
    return [types.Fragment_Text(value)]


class Adapter(exports.Adapter):
    def describe(self, options: str) -> types.Description:
        # The `options` of the row. An error, told to the operator, is raised as `Err`.
        for unknown in json.loads(options):
            raise Err(f"there is no option {unknown}")
        return types.Description(
            name="counter-py",
            version="0.1.0",
            cli=types.Cli(
                command="sh", version_args=["-c", "echo 1.0.0"], tested="*", install=[]
            ),
            providers=[
                types.Provider(id="counter", endpoint_variable=None, whole_catalog=False)
            ],
            models=[types.Model(id="counter/words", label="Words")],
            credentials=[],
            skills_folder=None,
            resume=types.ResumeStrategy.NONE,
            interrupt=types.Interrupt.SIGINT,
            exit_grace_ms=5000,
            capabilities=types.Capabilities.INTERRUPT,
        )

    def plan(self, context: types.TurnContext) -> types.Plan:
        first = context.turn == 1
        return types.Plan(
            argv=["sh", "-c", AGENT],
            env=[types.Variable(name="COUNTER_SESSION", value=text(context.session_id))],
            withhold=[],
            expose=[],
            stdin=types.Stdin_Text(text(context.prompt)),
            files=[],
            delete=[],
            continuity=types.Continuity.FIRST if first else types.Continuity.FRESH,
        )


# Python's usual parser of JSON recurses on the stack of WebAssembly. Where that ends the call ends,
# and nothing can be caught; the parser that is itself in Python raises RecursionError before.
CAREFUL = json.JSONDecoder()
CAREFUL.scan_once = py_make_scanner(CAREFUL)


def parse(line: str) -> object:
    shallow = line.count("[") + line.count("{") < 100
    return json.loads(line) if shallow else CAREFUL.decode(line)


def meaning(line: str) -> types.Event | None:
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
            return types.Event_SessionStarted(types.SessionStarted(session))
        case {"kind": "counted", "words": int(words)}:
            message = types.Message(role=types.Role.ASSISTANT, text=f"{words} words")
            return types.Event_Message(message)
        case {"kind": "end"}:
            return types.Event_TurnResult(types.TurnResult(None, None, None, None))
        case _:
            return None


class Turn(adapter.Turn):
    """A turn is a fold: all of its state is in here, and it must not depend on the batches."""

    def __init__(self, context: types.TurnContext) -> None:
        self.ended = False

    def feed(self, source: types.OutputStream, lines: str) -> types.Reaction:
        reaction = types.Reaction(actions=[], absorbed=[])
        # The last line of a batch ends with a line feed, unless it is the last of its stream.
        for index, line in enumerate(lines.removesuffix("\n").split("\n")):
            if not line.strip():
                reaction.absorbed.append(index)
                continue
            if source == types.OutputStream.STDOUT:
                event = meaning(line)
            else:
                event = types.Event_Notice(types.Notice(types.Level.WARNING, line))
            if isinstance(event, types.Event_TurnResult):
                # There is one in a turn at most.
                event = None if self.ended else event
                self.ended = True
            event = event or types.Event_Unparsed(line)
            reaction.actions.append(types.Action_Emit(types.Emitted(index, event)))
        return reaction

    def answer(self, answer: types.Answer) -> types.Reaction:
        return types.Reaction(actions=[], absorbed=[])

    def tick(self, elapsed_ms: int) -> types.Reaction:
        return types.Reaction(actions=[], absorbed=[])

    def interrupt(self) -> types.Reaction:
        return types.Reaction(actions=[], absorbed=[])

    def finish(self, exit: types.Exit) -> types.Conclusion:
        if self.ended or exit.cause != types.ExitCause.OWN:
            return types.Conclusion(events=[], failure=None, remember=None)
        message = exit.stderr_tail or f"the counter ended with code {exit.code}"
        failure = types.Failure(types.FailureKind.CRASH, message, None)
        result = types.Event_TurnResult(types.TurnResult(None, failure, None, None))
        return types.Conclusion(events=[result], failure=failure, remember=None)
