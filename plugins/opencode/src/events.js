// Tells among the CLI's own lines what they leave out, as JSON-RPC notifications: of a CLI that is
// spoken to every step with its tokens, every text and all that a tool gives; of any when a request
// that failed is made once more. It keeps the CLI from asking for ever, and from running code that
// the workspace brings. opencode loads it as a plugin, before all others.
const tell = (params) =>
  process.stdout.write(JSON.stringify({ jsonrpc: "2.0", method: "_aod/event", params }) + "\n");

// Whether nothing else tells of a turn, and whether the workspace is obeyed.
const isSpokenTo = process.env.AOD_IS_SPOKEN_TO === "1";
const obeys = process.env.AOD_OBEYS_WORKSPACE === "1";

// ---- code of others -----------------------------------------------------------------------------

// The CLI loads plugins that the workspace names or holds, whatever its settings say. Its own code
// is in its program.
if (!obeys) {
  Bun.plugin({
    name: "aod",
    setup(build) {
      const code = /^(?!\/\$bunfs\/).*\.[cm]?[jt]sx?$/;
      build.onLoad({ filter: code }, async ({ path }) => ({
        contents: path === import.meta.path ? await Bun.file(path).text() : "export default {}",
        loader: "js",
      }));
    },
  });
}

// ---- what happens -------------------------------------------------------------------------------

// What each part is of which pieces come.
const kinds = new Map();

const parts = {
  "step-start": () => "step_start",
  "step-finish": () => "step_finish",
  text: (part) => part.time?.end && !part.synthetic && "text",
  reasoning: (part) => part.time?.end && "reasoning",
  tool: (part) => part.state.status !== "pending" && "tool_use",
};

const events = {
  "session.created": ({ info }) => info.parentID && { type: "session", session: info.id },
  "session.error": ({ sessionID, error }) => ({ type: "error", sessionID, error }),
  "session.status": ({ sessionID, status }) =>
    status.type === "retry" && {
      type: "retry",
      sessionID,
      retry: { ...status, wait: Math.max(0, status.next - Date.now()) },
    },
  "message.part.updated": ({ part }) => {
    if (part.type === "text" || part.type === "reasoning") {
      if (part.time?.end) kinds.delete(part.id);
      else kinds.set(part.id, part.type);
    }
    const type = parts[part.type]?.(part);
    return type && { type, sessionID: part.sessionID, part };
  },
  "message.part.delta": ({ sessionID, partID, field, delta }) =>
    field === "text" &&
    kinds.has(partID) &&
    delta && { type: "delta", sessionID, of: kinds.get(partID), text: delta },
};

// ---- replies that end without a reason ----------------------------------------------------------

const REASONS = ["stop", "length", "content-filter", "tool-calls"];

// So many in a row are enough.
const BROKEN_REPLIES = 2;

let broken = 0;
let hasTools = false;

// Whether the CLI is to stop asking.
function isOfNoUse({ type, properties }) {
  if (type !== "message.part.updated") return false;
  const { part } = properties;
  if (part.type === "tool") hasTools = true;
  if (part.type === "step-finish") {
    broken = hasTools || REASONS.includes(part.reason) ? 0 : broken + 1;
    hasTools = false;
  }
  return part.type === "step-start" && broken >= BROKEN_REPLIES;
}

export const AodEvents = async ({ client }) => {
  if (isSpokenTo) tell({ type: "ready" });
  return {
    event: async ({ event }) => {
      if (!isSpokenTo && isOfNoUse(event)) {
        const id = event.properties.part.sessionID;
        client.session.abort({ path: { id } }).catch(() => {});
      }
      if (!isSpokenTo && event.type !== "session.status") return;
      const told = events[event.type]?.(event.properties);
      if (told) tell(told);
    },
  };
};
