// A runtime adapter in JavaScript, for an agent that counts the words of its prompt.
//
// It is made a component by componentize-js; see README.md. The names are those of
// wit/1.0.0/*.wit, in camel case: one export for each interface.

// The "CLI": a shell that reads the prompt and prints JSON, a line at a time.
const AGENT = `
text=$(cat)
printf '{"kind":"begin","session":"%s"}\\n' "$COUNTER_SESSION"
printf '{"kind":"counted","words":%d}\\n' "$(printf '%s' "$text" | wc -w)"
printf '{"kind":"end"}\\n'
`;

const text = (value) => [{ tag: 'text', val: value }];
const emit = (line, body) => ({
  tag: 'emit',
  val: { line, turn: { tag: 'current' }, inside: undefined, body },
});

const describe = (options) => {
  // The `options` of the row. An error, told to the operator, is thrown as a string.
  const [unknown] = Object.keys(JSON.parse(options));
  if (unknown !== undefined) throw `there is no option ${unknown}`;
  return {
    name: 'counter-js',
    version: '0.1.0',
    cli: { command: 'sh', versionArgs: ['-c', 'echo 1.0.0'], tested: '*', install: [] },
    providers: [{
      id: 'counter',
      endpointVariable: undefined,
      defaultEndpoint: undefined,
      wholeCatalog: false,
    }],
    models: [{ id: 'counter/words', label: 'Words' }],
    credentials: [],
    options: [],
    skillsFolder: undefined,
    resume: 'none',
    stop: 'sigint',
    exitGraceMs: 5000,
    capabilities: [{ tag: 'interrupt' }],
  };
};

// A prompt is a list of blocks. Images and files are named where they stand.
const words = (blocks) =>
  blocks.map(({ tag, val }) => (tag === 'text' ? val : `[${tag} ${val.path}]`)).join('\n\n');

// How the CLI is started for a prompt. What cannot be done is thrown, for the user:
// { kind: 'unsupported', field: 'settings.x', message: '…' }.
const prepare = (context, prompt) => ({
  argv: ['sh', '-c', AGENT],
  env: [{ name: 'COUNTER_SESSION', value: text(context.sessionId) }],
  withhold: [],
  expose: [],
  stdin: { tag: 'text', val: text(words(prompt.blocks)) },
  files: [],
  delete: [],
  continuity: prompt.turn === 1 ? 'first' : 'fresh',
  extras: [],
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
    return {
      tag: 'message',
      val: {
        item: undefined,
        role: 'assistant',
        text: `${said.words} words`,
        parts: [],
        aborted: false,
      },
    };
  }
  if (said?.kind === 'end') {
    return { tag: 'turn-result', val: { stop: 'completed' } };
  }
  return undefined;
};

const nothing = () => ({ actions: [], absorbed: [] });

// A conversation is a fold over what one process of the CLI writes: all of its state is in here,
// and it must not depend on how lines are batched. This CLI runs one prompt a process.
class Conversation {
  #ended = false;

  constructor(_context, _state) {}

  // A prompt and whatever else it is told. The prompt went by stdin.
  receive(_input) {
    return nothing();
  }

  feed(source, lines) {
    const reaction = nothing();
    // The last line of a batch ends with a line feed, unless it is the last of its source.
    lines.replace(/\n$/, '').split('\n').forEach((line, index) => {
      if (line.trim() === '') {
        reaction.absorbed.push(index);
        return;
      }
      // The engine takes a byte order mark off the start of a batch, so off with it everywhere.
      line = line.replace(/^\ufeff+/, '');
      let body = source === 'stdout'
        ? meaning(line)
        : { tag: 'notice', val: { level: 'warning', text: line, code: undefined } };
      const ends = body?.tag === 'turn-result' && !this.#ended;
      // There is one in a turn at most.
      if (body?.tag === 'turn-result' && !ends) body = undefined;
      reaction.actions.push(emit(index, body ?? { tag: 'unparsed', val: line }));
      if (ends) {
        this.#ended = true;
        // The turn is over, and so is the process.
        reaction.actions.push({ tag: 'end-turn' }, { tag: 'close' });
      }
    });
    return reaction;
  }

  tick(_elapsedMs) {
    return nothing();
  }

  // Nothing is kept between turns.
  state() {
    return undefined;
  }

  finish(exit) {
    const reaction = nothing();
    if (this.#ended || !['own', 'closed'].includes(exit.cause)) return reaction;
    const message = exit.stderrTail || `the counter ended with code ${exit.code}`;
    const result = { stop: 'failed', failure: { kind: 'crash', message } };
    reaction.actions.push(emit(0, { tag: 'turn-result', val: result }));
    return reaction;
  }
}

export const description = { describe };
export const launching = { prepare };
export const conversations = { Conversation };
// These hold types only.
export const content = {};
export const input = {};
export const events = {};
