// A runtime adapter in JavaScript, for an agent that counts the words of its prompt.
//
// It is made a component by componentize-js; see README.md. The names are those of
// wit/1.0.0/runtime.wit, in camel case.

// The "CLI": a shell that reads the prompt and prints JSON, a line at a time.
const AGENT = `
text=$(cat)
printf '{"kind":"begin","session":"%s"}\\n' "$COUNTER_SESSION"
printf '{"kind":"counted","words":%d}\\n' "$(printf '%s' "$text" | wc -w)"
printf '{"kind":"end"}\\n'
`;

const text = (value) => [{ tag: 'text', val: value }];
const emitted = (line, event) => ({ tag: 'emit', val: { line, event } });

const describe = (options) => {
  // The `options` of the row. An error, told to the operator, is thrown as a string.
  const [unknown] = Object.keys(JSON.parse(options));
  if (unknown !== undefined) throw `there is no option ${unknown}`;
  return {
    name: 'counter-js',
    version: '0.1.0',
    cli: { command: 'sh', versionArgs: ['-c', 'echo 1.0.0'], tested: '*', install: [] },
    providers: [{ id: 'counter', endpointVariable: undefined, wholeCatalog: false }],
    models: [{ id: 'counter/words', label: 'Words' }],
    credentials: [],
    skillsFolder: undefined,
    resume: 'none',
    interrupt: 'sigint',
    exitGraceMs: 5000,
    capabilities: { interrupt: true },
  };
};

const plan = (context) => ({
  argv: ['sh', '-c', AGENT],
  env: [{ name: 'COUNTER_SESSION', value: text(context.sessionId) }],
  withhold: [],
  expose: [],
  stdin: { tag: 'text', val: text(context.prompt) },
  files: [],
  delete: [],
  continuity: context.turn === 1 ? 'first' : 'fresh',
});

// What one line of stdout means; undefined for one that is not understood. What a CLI prints is
// not to be trusted: whatever is thrown here ends the turn's normalized events.
const meaning = (line) => {
  let said;
  try {
    said = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (said?.kind === 'begin' && typeof said.session === 'string') {
    return { tag: 'session-started', val: { nativeSessionId: said.session } };
  }
  if (said?.kind === 'counted' && Number.isInteger(said.words)) {
    return { tag: 'message', val: { role: 'assistant', text: `${said.words} words` } };
  }
  if (said?.kind === 'end') {
    return { tag: 'turn-result', val: {} };
  }
  return undefined;
};

// A turn is a fold: all of its state is in here, and it must not depend on how lines are batched.
class Turn {
  #ended = false;

  constructor(_context) {}

  feed(source, lines) {
    const reaction = { actions: [], absorbed: [] };
    // The last line of a batch ends with a line feed, unless it is the last of its stream.
    lines.replace(/\n$/, '').split('\n').forEach((line, index) => {
      if (line.trim() === '') {
        reaction.absorbed.push(index);
        return;
      }
      // The engine takes a byte order mark off the start of a batch, so off with it everywhere.
      line = line.replace(/^\ufeff+/, '');
      let event = source === 'stdout'
        ? meaning(line)
        : { tag: 'notice', val: { level: 'warning', text: line } };
      if (event?.tag === 'turn-result') {
        // There is one in a turn at most.
        if (this.#ended) event = undefined;
        this.#ended = true;
      }
      reaction.actions.push(emitted(index, event ?? { tag: 'unparsed', val: line }));
    });
    return reaction;
  }

  answer(_answer) {
    return { actions: [], absorbed: [] };
  }

  tick(_elapsedMs) {
    return { actions: [], absorbed: [] };
  }

  interrupt() {
    return { actions: [], absorbed: [] };
  }

  finish(exit) {
    if (this.#ended || exit.cause !== 'own') return { events: [] };
    const failure = {
      kind: 'crash',
      message: exit.stderrTail || `the counter ended with code ${exit.code}`,
    };
    return { events: [{ tag: 'turn-result', val: { failure } }], failure };
  }
}

export const adapter = { describe, plan, Turn };
export const types = {};
