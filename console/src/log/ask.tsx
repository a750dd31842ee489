// Questions of agents: in their place in the conversation, and above the prompt until answered.

import { useState } from "preact/hooks";
import { post, serverNow } from "../lib/api";
import { second, duration } from "../lib/format";
import { messageOf } from "../ui/basics";
import { Icon } from "../ui/icons";
import { Exact, pretty } from "../ui/text";
import type { AskRow } from "./fold";
import { useView } from "./rows";

/** The answers that are on their way, by question. */
const sending = new Map<string, string>();

export const isLive = (row: AskRow, running: boolean): boolean => row.state === "open" && running;

function choiceLabel(row: AskRow, answer: string | null): string {
  return row.request.choices.find((it) => it.id === answer)?.label ?? answer ?? "";
}

export function AskCard({ row, place, nth }: { row: AskRow; place: "log" | "prompt"; nth?: string }) {
  void row.changed.value;
  const { log } = useView();
  const [, paint] = useState(0);
  const [text, setText] = useState("");
  const [error, setError] = useState<string | null>(null);
  const session = log.session.value;
  const running = session?.status === "running" && (row.turn === null || row.turn === session.current_turn);
  const live = isLive(row, running);
  const request = row.request;
  const name = `${log.id}:${request.request_id}`;
  const [isError, setIsError] = useState(false);
  const send = async (answer: string) => {
    sending.set(name, answer);
    setError(null);
    paint((n) => n + 1);
    try {
      await post(`${log.path}/answers`, { request_id: request.request_id, ...(row.isTool ? { content: answer, ...(isError ? { is_error: true } : {}) } : { answer }) });
    } catch (failed) {
      sending.delete(name);
      setError(messageOf(failed));
    }
    paint((n) => n + 1);
  };
  void second.value;
  const left = row.at + request.deadline_ms - serverNow();
  const onItsWay = sending.get(name);
  const detail = request.detail === null || request.detail === undefined ? "" : commandOf(request.detail) ?? pretty(request.detail);
  if (place === "log" && !live) {
    const answered = choiceLabel(row, row.answer).slice(0, 300);
    const said = row.state === "answered" ? `Answered: ${answered}`
      : row.state === "default" ? `No answer in time: used ${answered}`
      : row.state === "withdrawn" ? "It needed no answer any more" : "It was not answered before its turn ended";
    return <div class="ask over"><Icon name="question" /><span class="tool-about"><Exact text={request.title} /></span><span class="dim said"><Exact text={said} /></span></div>;
  }
  return (
    <div class="ask" data-ask={request.request_id} role="group" aria-label={`Question: ${request.title.slice(0, 200)}`}>
      <div class="ask-head">
        <Icon name="question" />
        <strong class="grow">{row.isTool ? "The agent calls your tool " : null}<Exact text={request.title} /></strong>
        {nth ? <span class="badge">{nth}</span> : null}
      </div>
      {detail ? <pre class="input" tabIndex={0} aria-label="What it is about"><Exact text={detail.slice(0, 20_000)} /></pre> : null}
      <div class="row wrap">
        {request.choices.length > 0 ? request.choices.map((choice) => (
          <button type="button" key={choice.id} disabled={onItsWay !== undefined} class={choice.meaning?.startsWith("allow") ? "primary" : ""} onClick={() => void send(choice.id)}>
            <Exact text={choice.label} />
          </button>
        )) : row.isTool ? (
          <form class="tool-answer grow" onSubmit={(event) => { event.preventDefault(); void send(text); }}>
            <textarea rows={2} value={text} maxLength={262_144} aria-label="What the tool comes to" placeholder="What the tool comes to" onInput={(event) => setText(event.currentTarget.value)} onKeyDown={(event) => {
              if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.isComposing && onItsWay === undefined) { event.preventDefault(); void send(text); }
            }} />
            <div class="row wrap">
              <button class="primary" disabled={onItsWay !== undefined} title="Ctrl+Enter">Answer</button>
              <label class="check"><input type="checkbox" checked={isError} onChange={(event) => setIsError(event.currentTarget.checked)} />It failed</label>
            </div>
          </form>
        ) : (
          <form class="row grow" onSubmit={(event) => { event.preventDefault(); if (text.trim()) void send(text); }}>
            <input class="grow" value={text} aria-label="Your answer" onInput={(event) => setText(event.currentTarget.value)} />
            <button class="primary" disabled={onItsWay !== undefined}>Answer</button>
          </form>
        )}
        <span class="dim tiny">
          {onItsWay !== undefined ? `Sending “${choiceLabel(row, onItsWay).slice(0, 60)}”…`
            : left > 0 ? <>{duration(left)} left, then <strong><Exact text={choiceLabel(row, request.default).slice(0, 60) || "no answer"} /></strong></>
            : "Its time is over: the default is being used"}
        </span>
      </div>
      {error ? <p class="problem" role="alert">{error}</p> : null}
    </div>
  );
}

/** The command that a question is about, where it is about one alone. */
function commandOf(detail: unknown): string | null {
  if (typeof detail !== "object" || detail === null) return null;
  const fields = detail as Record<string, unknown>;
  return Object.keys(fields).length === 1 && typeof fields.command === "string" ? `$ ${fields.command}` : null;
}
