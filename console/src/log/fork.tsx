// Another session from a turn's end, or this one taken back to it.

import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { get, post, randomKey } from "../lib/api";
import { go } from "../lib/router";
import type { Checkpoint, Listing } from "../lib/types";
import { Dialog, ErrorNote, Field, attempt, toast } from "../ui/basics";
import type { SessionLog } from "./session";

/** The turn to whose end the session is to be copied or taken back. */
export const goingBack = signal<{ how: "fork" | "restore"; turn: number } | null>(null);

export function GoBack({ log }: { log: SessionLog }) {
  const asked = goingBack.value;
  return asked ? <Asked key={`${asked.how} ${asked.turn}`} log={log} how={asked.how} turn={asked.turn} /> : null;
}

function Asked({ log, how, turn }: { log: SessionLog; how: "fork" | "restore"; turn: number }) {
  const [prompt, setPrompt] = useState("");
  const [title, setTitle] = useState("");
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const [key] = useState(randomKey);
  const [checkpoint, setCheckpoint] = useState<Checkpoint | null | undefined>(undefined);
  useEffect(() => {
    void attempt(async () => {
      const { data } = await get<Listing<Checkpoint>>(`${log.path}/checkpoints`);
      setCheckpoint(data.find((it) => it.turn === turn) ?? null);
    });
  }, [log, turn]);
  const close = () => (goingBack.value = null);
  const forks = how === "fork";
  const act = async () => {
    setBusy(true);
    setError(null);
    try {
      if (forks) {
        const made = await post<{ id: string }>(`${log.path}/fork`, { turn, ...(prompt.trim() ? { prompt } : {}), ...(title.trim() ? { title: title.trim() } : {}) }, { "idempotency-key": `${key}-${prompt.length}-${title.length}` });
        close();
        go(`/s/${made.id}`);
      } else {
        await post(`${log.path}/restore`, { turn });
        close();
        toast(`The session is as it was after turn ${turn}`);
        await log.reread();
      }
    } catch (failed) {
      setError(failed);
      setBusy(false);
    }
  };
  const missing = checkpoint === null ? "There is no checkpoint of this turn: it was not made, or its room was needed."
    : checkpoint?.state === "failed" ? `The checkpoint of this turn was not made: ${checkpoint.error ?? "the server's log says why"}`
    : checkpoint?.state === "pending" ? "The checkpoint of this turn is still being made." : null;
  return (
    <Dialog title={forks ? `Fork from turn ${turn}` : `Back to turn ${turn}?`} onClose={close}>
      <form onSubmit={(event) => { event.preventDefault(); void act(); }}>
        <div class="dialog-body">
          <p>{forks
            ? "A new session begins with the files and the conversation as they were at the end of this turn. This one stays what it is."
            : "The files and the agent's conversation become what they were at the end of this turn. Later turns stay in the history, marked as undone."}</p>
          {missing ? <p class="note">{missing}</p> : null}
          {forks ? (
            <>
              <Field label="What it is asked" hint="Where nothing is asked, it waits for a prompt"><textarea rows={3} value={prompt} onInput={(event) => setPrompt(event.currentTarget.value)} /></Field>
              <Field label="Title"><input maxLength={200} value={title} placeholder={log.session.value?.title ?? ""} onInput={(event) => setTitle(event.currentTarget.value)} /></Field>
            </>
          ) : null}
          <ErrorNote error={error} />
        </div>
        <footer><button type="button" onClick={close}>Cancel</button><button class="primary" disabled={busy}>{busy ? (forks ? "Forking…" : "Taking it back…") : forks ? "Fork" : "Take it back"}</button></footer>
      </form>
    </Dialog>
  );
}
