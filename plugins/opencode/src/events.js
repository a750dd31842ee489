// Tells among the CLI's own lines what they leave out, as JSON-RPC notifications: of a CLI that is
// spoken to every step with its tokens, every text and all that a tool gives; of any when a request
// that failed is made once more. opencode loads it as a plugin.
const tell = (params) =>
  process.stdout.write(JSON.stringify({ jsonrpc: "2.0", method: "_aod/event", params }) + "\n");

// Whether nothing else tells of a turn.
const isSpokenTo = process.env.AOD_IS_SPOKEN_TO === "1";

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

export const AodEvents = async () => {
  if (isSpokenTo) tell({ type: "ready" });
  return {
    event: async ({ event }) => {
      if (!isSpokenTo && event.type !== "session.status") return;
      const told = events[event.type]?.(event.properties);
      if (told) tell(told);
    },
  };
};
