// The list of sessions: those that need the user first.

import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { get } from "../lib/api";
import { ago, cost, plural, tokens } from "../lib/format";
import { revealed } from "../lib/text";
import { type Listed, poll, searchSessions, sessions, sessionsError, sessionsReady } from "../lib/sessions";
import type { Runtime, Session } from "../lib/types";
import { readRuntimes, runtimes } from "../log/composer";
import { ErrorNote, Loading, State, titleOf } from "../ui/basics";
import { Icon } from "../ui/icons";

const found = signal<Session[]>([]);
export const query = signal("");
export const onlyStatus = signal("");

/** The sessions in their groups, newest first in each. */
function grouped(): { name: string; all: Listed[] }[] {
  const words = query.value.trim().toLowerCase();
  const fits = ({ session }: Listed) =>
    (!onlyStatus.value || session.status === onlyStatus.value) &&
    (!words || `${titleOf(session)} ${session.runtime} ${session.model} ${session.id} ${Object.entries(session.metadata ?? {}).flat().join(" ")}`.toLowerCase().includes(words));
  const all = [...sessions.value.values()].filter(fits);
  if (words) {
    const there = new Set(all.map((it) => it.session.id));
    for (const session of found.value) {
      if (!there.has(session.id) && (!onlyStatus.value || session.status === onlyStatus.value)) all.push(sessions.value.get(session.id) ?? { session, questions: [] });
    }
  }
  all.sort((a, b) => (a.session.updated_at < b.session.updated_at ? 1 : -1));
  const active = (it: Listed) => it.session.status === "running" || it.session.status === "pending";
  const asks = (it: Listed) => active(it) && it.questions.length > 0;
  return [
    { name: "Needs you", all: all.filter(asks) },
    { name: "Running", all: all.filter((it) => active(it) && !asks(it)) },
    { name: "Recent", all: all.filter((it) => !active(it)) },
  ].filter((group) => group.all.length > 0);
}

function useSearch(): void {
  const words = query.value.trim();
  useEffect(() => {
    if (!words) {
      found.value = [];
      return;
    }
    const timer = setTimeout(() => void searchSessions(words).then((it) => (found.value = it)).catch(() => undefined), 250);
    return () => clearTimeout(timer);
  }, [words]);
}

export function SearchField() {
  return (
    <label class="search">
      <Icon name="search" />
      <input type="search" value={query.value} placeholder="Search sessions" aria-label="Search sessions" data-search onInput={(event) => (query.value = event.currentTarget.value)} />
    </label>
  );
}

function Row({ listed, current, dense }: { listed: Listed; current: boolean; dense: boolean }) {
  const { session, questions } = listed;
  const usage = session.usage;
  return (
    <a class={`session-row ${current ? "current" : ""}`} href={`#/s/${session.id}`} aria-current={current ? "page" : undefined} data-session={session.id}>
      <span class="session-title"><bdi>{revealed(titleOf(session))}</bdi></span>
      <State session={session} questions={questions.length} />
      <span class="session-meta dim">
        <span>{session.runtime}</span>
        {dense ? null : <span class="wide-only">{session.model.split("/").at(-1)}</span>}
        <span>{ago(session.updated_at)}</span>
        {dense ? null : <span>{plural(session.turn_count, "turn")}</span>}
        {usage.input_tokens + usage.output_tokens > 0 ? <span>{tokens(usage.input_tokens + usage.cached_tokens + usage.output_tokens)}</span> : null}
        {usage.cost_usd === null ? null : <span>{cost(usage.cost_usd)}</span>}
      </span>
      {questions[0] ? <span class="session-question"><Icon name="question" /><bdi>{revealed(questions[0].title.slice(0, 200))}</bdi></span> : null}
      {!dense && session.status === "failed" && session.error ? <span class="session-error">{revealed(session.error.slice(0, 300))}</span> : null}
    </a>
  );
}

export function SessionList({ current, dense = false }: { current?: string; dense?: boolean }) {
  useSearch();
  const groups = grouped();
  const [most, setMost] = useState(100);
  if (!sessionsReady.value && !sessionsError.value) return <Loading what="Loading sessions" />;
  let left = most;
  return (
    <nav class={`session-list ${dense ? "dense" : ""}`} aria-label="Sessions">
      <ErrorNote error={sessionsError.value} retry={() => void poll()} />
      {groups.map((group) => {
        const shown = group.all.slice(0, Math.max(0, left));
        left -= shown.length;
        return (
          <section key={group.name}>
            <h2>{group.name} <span class="dim">{group.all.length}</span></h2>
            {shown.map((listed) => <Row key={listed.session.id} listed={listed} current={listed.session.id === current} dense={dense} />)}
            {shown.length < group.all.length ? <button type="button" class="quiet" onClick={() => setMost(most + 200)}>Show {group.all.length - shown.length} more</button> : null}
          </section>
        );
      })}
      {groups.length === 0 && (query.value || onlyStatus.value) ? <p class="dim pad">No session fits. <button type="button" class="link" onClick={() => { query.value = ""; onlyStatus.value = ""; }}>Show all</button></p> : null}
    </nav>
  );
}

export function SessionsPage() {
  const empty = sessionsReady.value && sessions.value.size === 0;
  return (
    <main class="page">
      <header class="page-head">
        <h1 class="grow">Sessions</h1>
        <a class="button primary" href="#/new"><Icon name="plus" />New session</a>
      </header>
      {empty ? <FirstSteps /> : (
        <>
          <div class="filters">
            <SearchField />
            <select aria-label="State" value={onlyStatus.value} onChange={(event) => (onlyStatus.value = event.currentTarget.value)}>
              <option value="">All states</option>
              <option value="running">Running</option>
              <option value="pending">Starting</option>
              <option value="completed">Ready</option>
              <option value="failed">Failed</option>
              <option value="terminated">Terminated</option>
            </select>
          </div>
          <SessionList />
        </>
      )}
    </main>
  );
}

/** What a new user does, ticked off as it is done. */
function FirstSteps() {
  const [keys, setKeys] = useState<number | null>(null);
  useEffect(() => {
    void readRuntimes().catch(() => undefined);
    void get<{ data: unknown[] }>("/credentials").then((it) => setKeys(it.data.length)).catch(() => undefined);
  }, []);
  const ready = runtimes.value.filter((it: Runtime) => it.health === "ready");
  const demo = ready.some((it) => it.credentials.length === 0);
  const steps: [boolean, preact.ComponentChildren][] = [
    [true, <>The server answers, and you are logged in.</>],
    [ready.length > 0, ready.length > 0 ? <>{plural(ready.length, "runtime")} ready: {ready.map((it) => it.name).join(", ")}.</> : <>A runtime is ready: <a href="#/runtimes">see what they wait for</a>.</>],
    [(keys ?? 0) > 0, <>A key is registered: <a href="#/credentials">register one</a>.{demo ? " The demo runtime needs none." : ""}</>],
    [false, <>A first session ran.</>],
  ];
  return (
    <div class="empty first">
      <h2>No sessions yet</h2>
      <ul class="steps">
        {steps.map(([done, text]) => <li class={done ? "done" : ""}><span class="tick" role="img" aria-label={done ? "done" : "to do"}>{done ? <Icon name="check" /> : null}</span><span>{text}</span></li>)}
      </ul>
      <a class="button primary" href="#/new">Start the first session</a>
    </div>
  );
}
