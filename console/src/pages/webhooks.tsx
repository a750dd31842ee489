// Webhooks: who is told, of what, and what became of the messages.

import { useEffect, useState } from "preact/hooks";
import { ApiError, call, get, post } from "../lib/api";
import { moment } from "../lib/format";
import type { Listing } from "../lib/types";
import { Confirm, CopyButton, Empty, ErrorNote, Field, Loading, PageHead, attempt, toast } from "../ui/basics";
import { Icon } from "../ui/icons";
import { Ago, Table } from "../ui/table";
import { Exact } from "../ui/text";

interface Webhook { id: string; url: string; events: string[]; enabled: boolean; description: string | null; disabled_reason: string | null; session_id: string | null; created_at: string; secret?: string }
interface Delivery { id: string; event: string; state: string; attempts: number; created_at: string; last_error: string | null; last_status: number | null; next_attempt_at: string | null; session_id: string | null }

const EVENTS = ["turn.completed", "turn.failed", "turn.interrupted", "turn.terminated", "permission.requested", "tool.requested", "session.failed", "session.terminated", "session.expiring", "credential.expired"];

export function WebhooksPage({ id }: { id?: string }) {
  const [all, setAll] = useState<Webhook[] | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [failed, setFailed] = useState<unknown>(null);
  const [adding, setAdding] = useState(false);
  const [url, setUrl] = useState("");
  const [text, setText] = useState("");
  const [events, setEvents] = useState<string[]>([]);
  const [secret, setSecret] = useState<Webhook | null>(null);
  const [gone, setGone] = useState<Webhook | null>(null);
  const load = () => {
    setError(null);
    get<Listing<Webhook>>("/webhooks").then((it) => setAll(it.data)).catch(setError);
  };
  useEffect(load, []);
  const problems = failed instanceof ApiError ? failed.fields : new Map<string, string>();
  const add = async () => {
    setFailed(null);
    try {
      setSecret(await post<Webhook>("/webhooks", { url, description: text || null, ...(events.length > 0 ? { events } : {}) }));
      setAdding(false);
      setUrl("");
      setText("");
      setEvents([]);
      load();
    } catch (problem) {
      setFailed(problem);
    }
  };
  return (
    <main class="page">
      <PageHead title="Webhooks" hint="Other servers are told when turns of your sessions end or ask."><button type="button" class="primary" onClick={() => setAdding(!adding)}><Icon name="plus" />New webhook</button></PageHead>
      <ErrorNote error={error} retry={load} />
      {secret?.secret ? <div class="secret"><div class="grow">Messages to <Exact text={secret.url} /> are signed with this secret, which is shown now and never again:<br /><code>{secret.secret}</code></div><CopyButton text={secret.secret} label="Copy the secret" /><button type="button" class="small" onClick={() => setSecret(null)}>Done</button></div> : null}
      {adding ? (
        <form class="card form" onSubmit={(event) => { event.preventDefault(); void add(); }}>
          <Field label="URL" error={problems.get("url")} hint="http or https"><input type="url" required value={url} onInput={(event) => setUrl(event.currentTarget.value)} placeholder="https://example.com/hooks/aod" /></Field>
          <Field label="What it is for" error={problems.get("description")}><input value={text} maxLength={1000} onInput={(event) => setText(event.currentTarget.value)} /></Field>
          <fieldset><legend>What it is told of</legend><span class="dim tiny">Everything where none is chosen.</span>
            {EVENTS.map((it) => <label class="check" key={it}><input type="checkbox" checked={events.includes(it)} onChange={(event) => setEvents(event.currentTarget.checked ? [...events, it] : events.filter((one) => one !== it))} />{it}</label>)}
          </fieldset>
          <ErrorNote error={failed} />
          <div class="row"><button class="primary">Add it</button><button type="button" onClick={() => setAdding(false)}>Cancel</button></div>
        </form>
      ) : null}
      {!all && !error ? <Loading /> : null}
      {all?.length === 0 && !adding ? <Empty title="No webhooks yet"><p class="dim">A chat, a build or a script of yours can be told when an agent is done, or waits for you.</p></Empty> : null}
      <div class="cards">
        {(all ?? []).map((it) => (
          <div class="card" role="group" key={it.id} aria-label={it.url}>
            <header>
              <h2 class="grow"><Exact text={it.url} /></h2>
              <span class={`state ${it.enabled ? "completed" : "failed"}`}><span class="dot" />{it.enabled ? "Active" : "Disabled"}</span>
            </header>
            {it.description ? <div>{it.description}</div> : null}
            {it.disabled_reason ? <div class="note bad">{it.disabled_reason}</div> : null}
            <div class="dim tiny">{it.events.length === EVENTS.length ? "everything" : it.events.join(", ")}{it.session_id ? <>, of <a href={`#/s/${it.session_id}`}>one session</a></> : null}</div>
            <div class="row wrap">
              <button type="button" class="small" onClick={() => void attempt(async () => { await post(`/webhooks/${it.id}/test`); toast("A test is on its way"); })}>Send a test</button>
              <button type="button" class="small" onClick={() => void attempt(async () => { await call("PATCH", `/webhooks/${it.id}`, { body: { enabled: !it.enabled } }); load(); })}>{it.enabled ? "Disable" : "Enable"}</button>
              <button type="button" class="small" onClick={() => void attempt(async () => setSecret({ ...(await post<Webhook>(`/webhooks/${it.id}/rotate`)), url: it.url }))}>Another secret</button>
              <span class="grow" />
              <button type="button" class="quiet icon-only" aria-label={`Delete ${it.url}`} onClick={() => setGone(it)}><Icon name="trash" /></button>
            </div>
            <Deliveries id={it.id} open={id === it.id} />
          </div>
        ))}
      </div>
      {gone ? <Confirm title="Delete the webhook?" text={`${gone.url} is told of nothing more, and what waits to be sent is not sent.`} action="Delete" onNo={() => setGone(null)} onYes={() => void attempt(async () => { await call("DELETE", `/webhooks/${gone.id}`); setGone(null); load(); })} /> : null}
    </main>
  );
}

function Deliveries({ id, open }: { id: string; open: boolean }) {
  const [all, setAll] = useState<Delivery[] | null>(null);
  const [error, setError] = useState<unknown>(null);
  const load = () => get<Listing<Delivery>>(`/webhooks/${id}/deliveries?limit=50`).then((it) => setAll(it.data)).catch(setError);
  return (
    <details open={open} onToggle={(event) => { if (event.currentTarget.open) void load(); }}>
      <summary>Deliveries</summary>
      <ErrorNote error={error} />
      {all?.length === 0 ? <p class="dim pad">Nothing was sent yet.</p> : null}
      {all && all.length > 0 ? (
        <Table label="Deliveries" head={["Event", "State", "When", "Tries", "Last answer", ""]} rows={all.map((it) => [
          it.id,
          it.session_id ? <a href={`#/s/${it.session_id}`}>{it.event}</a> : it.event,
          <>{it.state}{it.next_attempt_at ? <span class="dim tiny"> again at {moment(it.next_attempt_at)}</span> : null}</>,
          <Ago at={it.created_at} />,
          it.attempts,
          <Exact text={it.last_error ?? (it.last_status ? String(it.last_status) : "none")} />,
          <button type="button" class="small" onClick={() => void attempt(async () => { await post(`/webhooks/${id}/deliveries/${it.id}/redeliver`); await load(); })}>Send again</button>,
        ])} />
      ) : null}
    </details>
  );
}
