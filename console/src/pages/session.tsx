// One session: its conversation, its prompt, and what else there is to know of it.

import { signal } from "@preact/signals";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { call, failure, post, request } from "../lib/api";
import { cost, duration, second, tokens } from "../lib/format";
import { go } from "../lib/router";
import { followSessions, sessions } from "../lib/sessions";
import { revealed } from "../lib/text";
import type { Session } from "../lib/types";
import { AskCard } from "../log/ask";
import { Composer, composing, readRuntimes, runtimes } from "../log/composer";
import { FindBar, finding } from "../log/find";
import { GoBack, goingBack } from "../log/fork";
import type { AskRow, ToolRow } from "../log/fold";
import { type ListHandle, RowList } from "../log/list";
import { InnerRows, PromptView, type View, ViewContext } from "../log/rows";
import { SessionLog, type Stage } from "../log/session";
import { Side, sideTab } from "../log/side";
import { Confirm, Dialog, ErrorNote, Loading, Menu, State, announce, attempt, stateWord, titleOf, toast } from "../ui/basics";
import { Icon } from "../ui/icons";
import { Exact, Output, save } from "../ui/text";
import { SearchField, SessionList } from "./sessions";

/** The session that is shown, for the palette and the keys. */
export const current = signal<{ log: SessionLog; list: { current: ListHandle | null }; interrupt: () => void } | null>(null);
/** Whether the side is shown where there is no room beside the conversation. */
export const sideOpen = signal(false);

export function SessionPage({ id }: { id: string }) {
  return (
    <div class="session-page">
      <aside class="session-side-list" aria-label="All sessions">
        <div class="side-head"><SearchField /><a class="button icon-only" href="#/new" aria-label="New session" title="New session"><Icon name="plus" /></a></div>
        <SessionList current={id} dense />
      </aside>
      <SessionView key={id} id={id} />
    </div>
  );
}

function SessionView({ id }: { id: string }) {
  const log = useMemo(() => new SessionLog(id), [id]);
  const list = useRef<ListHandle | null>(null);
  const [inner, setInner] = useState<ToolRow | null>(null);
  const [native, setNative] = useState(false);
  const [confirm, setConfirm] = useState<"terminate" | "delete" | null>(null);
  const [file, setFile] = useState<string | null>(null);
  const interrupt = () => void attempt(async () => {
    await post(`${log.path}/interrupt`);
    await log.reread();
  });
  useEffect(() => {
    current.value = { log, list, interrupt };
    if (runtimes.value.length === 0) void readRuntimes().catch(() => undefined);
    return () => {
      log.stop();
      current.value = null;
      goingBack.value = null;
    };
  }, [log]);
  const session = log.session.value;
  const running = log.isRunning;
  // One stream at a time: that of the session while it runs, else that of the list.
  useEffect(() => {
    followSessions(running ? "poll" : "stream");
  }, [running]);
  const listed = sessions.value.get(id)?.session;
  useEffect(() => {
    if (listed) log.moved(listed);
  }, [listed]);
  const status = session?.status;
  const before = useRef(status);
  useEffect(() => {
    if (before.current && status && before.current !== status && session) announce(`${titleOf(session)}: ${stateWord(session)}`);
    before.current = status;
  }, [status]);
  const view: View = {
    log,
    openInner: setInner,
    openFile: (path) => {
      setFile(path.replace(/^\/workspace\//, ""));
      sideTab.value = "files";
      sideOpen.value = true;
    },
    openNative: () => setNative(true),
    retry: (prompt) => {
      composing(id).write(prompt);
      document.querySelector<HTMLTextAreaElement>(".composer textarea")?.focus();
    },
  };
  if (log.error.value) {
    return <main class="session-main"><div class="page"><ErrorNote error={log.error.value} retry={() => log.retry()} /><p><a href="#/sessions">All sessions</a></p></div></main>;
  }
  const terminate = async () => {
    setConfirm(null);
    await attempt(async () => {
      await post(`${log.path}/terminate`);
      await log.reread();
    });
  };
  const remove = async () => {
    setConfirm(null);
    await attempt(async () => {
      await call("DELETE", `${log.path}/delete`);
      toast("The session was deleted");
      go("/sessions");
    });
  };
  return (
    <ViewContext.Provider value={view}>
      <main class={`session-main ${sideOpen.value ? "with-side" : ""}`}>
        <div class="session-centre">
          <header class="session-head">
            <a class="button quiet icon-only narrow-only" href="#/sessions" aria-label="All sessions"><Icon name="left" /></a>
            {session ? <Title log={log} session={session} /> : <span class="grow" />}
            {session ? <StateNow log={log} session={session} /> : null}
            {session ? <Figures log={log} session={session} /> : null}
            {running ? <button type="button" class="small wide-only" onClick={interrupt} title="Ctrl+."><Icon name="stop" />Interrupt</button> : null}
            <button type="button" class={`quiet icon-only ${sideOpen.value ? "on" : ""}`} aria-label="Changes, files, details" aria-pressed={sideOpen.value} title="Changes, files, details" onClick={() => (sideOpen.value = !sideOpen.value)}><Icon name="folder" /></button>
            <Menu label="More">
              {(close) => (
                <>
                  <button type="button" onClick={() => { close(); finding.value = true; }}><Icon name="search" />Find in the conversation</button>
                  <button type="button" onClick={() => { close(); setNative(true); }}><Icon name="terminal" />Native stream</button>
                  <button type="button" onClick={() => { close(); sideTab.value = "details"; sideOpen.value = true; }}><Icon name="read" />Details</button>
                  {session && !running && session.turn_count > 0 ? <button type="button" onClick={() => { close(); goingBack.value = { how: "fork", turn: session.restored_to ?? session.turn_count }; }}><Icon name="fork" />Fork</button> : null}
                  {running ? <button type="button" onClick={() => { close(); interrupt(); }}><Icon name="stop" />Interrupt</button> : null}
                  {session && session.status !== "terminated" ? <button type="button" class="danger" onClick={() => { close(); setConfirm("terminate"); }}><Icon name="cross" />Terminate</button> : null}
                  {running ? null : <button type="button" class="danger" onClick={() => { close(); setConfirm("delete"); }}><Icon name="trash" />Delete</button>}
                </>
              )}
            </Menu>
          </header>
          <Connection log={log} />
          {finding.value ? <FindBar log={log} list={list} /> : null}
          {log.loaded.value ? (
            <RowList log={log} handle={list} head={<Head log={log} />} foot={<Foot log={log} />} />
          ) : <div class="log-holder"><Loading what="Loading the session" /></div>}
          <Todo log={log} />
          <Questions log={log} />
          <Composer log={log} runtime={runtimes.value.find((it) => it.name === session?.runtime)} />
        </div>
        {sideOpen.value && session ? <Side log={log} file={file} onFile={setFile} onClose={() => (sideOpen.value = false)} /> : null}
      </main>
      {inner ? <Dialog title={`Subagent: ${revealed((inner.title ?? inner.call?.name ?? "").slice(0, 80))}`} wide onClose={() => setInner(null)}><div class="dialog-body">{inner.inner ? <InnerRows scope={inner.inner} depth={1} most={500} /> : null}</div></Dialog> : null}
      <GoBack log={log} />
      {native ? <Native path={log.path} onClose={() => setNative(false)} /> : null}
      {confirm === "terminate" ? <Confirm title="Terminate the session?" text="All of its processes end now, and it takes no more prompts. Its conversation and files stay." action="Terminate" onYes={() => void terminate()} onNo={() => setConfirm(null)} /> : null}
      {confirm === "delete" ? <Confirm title="Delete the session?" text="Its conversation, its log and its files are deleted for good." action="Delete" onYes={() => void remove()} onNo={() => setConfirm(null)} /> : null}
    </ViewContext.Provider>
  );
}

export function openAsks(log: SessionLog): AskRow[] {
  void log.fold.questions.changed.value;
  const session = log.session.value;
  if (session?.status !== "running") return [];
  return [...log.fold.asks.values()].filter((row) => row.state === "open" && (row.turn === null || row.turn === session.current_turn));
}

const StateNow = ({ log, session }: { log: SessionLog; session: Session }) => <State session={session} questions={openAsks(log).length} />;

function Questions({ log }: { log: SessionLog }) {
  const asks = openAsks(log);
  const first = asks[0];
  const title = first?.request.title;
  useEffect(() => {
    if (title) announce(`The agent asks: ${title.slice(0, 200)}`);
  }, [first?.key]);
  if (!first) return null;
  return <div class="questions" data-questions={asks.length}>{asks.map((row, n) => <AskCard key={row.key} row={row} place="prompt" nth={asks.length > 1 ? `${n + 1} of ${asks.length}` : undefined} />)}</div>;
}

function Title({ log, session }: { log: SessionLog; session: Session }) {
  const [editing, setEditing] = useState(false);
  const title = titleOf(session);
  if (!editing) {
    return <h1 class="session-name grow"><button type="button" class="link" title="Rename" onClick={() => setEditing(true)}><bdi>{revealed(title)}</bdi></button></h1>;
  }
  const keep = async (value: string) => {
    setEditing(false);
    if (value.trim() === (session.title ?? "")) return;
    await attempt(async () => {
      await call("PATCH", log.path, { body: { title: value.trim() || null } });
      await log.reread();
    });
  };
  return (
    <input
      class="grow" aria-label="Title" maxLength={200} defaultValue={session.title ?? ""} ref={(it) => it?.focus()}
      onBlur={(event) => void keep(event.currentTarget.value)}
      onKeyDown={(event) => {
        if (event.key === "Enter" && !event.isComposing) event.currentTarget.blur();
        if (event.key === "Escape") { event.stopPropagation(); setEditing(false); }
      }}
    />
  );
}

function Figures({ log, session }: { log: SessionLog; session: Session }) {
  const { input_tokens, cached_tokens, output_tokens, cost_usd } = session.usage;
  const stream = log.stream.value;
  let silent = "";
  if (session.status === "running" && stream && stream.lastByte.value > 0) {
    void second.value;
    const ms = performance.now() - stream.lastByte.value;
    silent = ms > 3000 ? `last word ${duration(ms)} ago` : "live";
  }
  return (
    <span class="figures dim wide-only">
      {silent ? <span>{silent}</span> : null}
      {input_tokens + output_tokens > 0 ? <span title={`${input_tokens} in, ${cached_tokens} of the cache, ${output_tokens} out`}>{tokens(input_tokens + cached_tokens + output_tokens)}</span> : null}
      <span>{cost(cost_usd)}</span>
    </span>
  );
}

/** Says so where the connection has been gone for more than three seconds. */
function Connection({ log }: { log: SessionLog }) {
  const down = log.stream.value?.downSince.value;
  if (!down) return null;
  void second.value;
  if (Date.now() - down < 3000) return null;
  return <div class="banner" role="status"><span class="spin" />The connection is lost. Trying again; nothing is missed.</div>;
}

function Head({ log }: { log: SessionLog }) {
  if (log.prev.value) return <div class="log-head dim">{log.busy.value ? <><span class="spin" />Loading earlier</> : <button type="button" class="quiet small" onClick={() => void attempt(() => log.older())}>Load earlier</button>}</div>;
  const session = log.session.value;
  return <div class="log-head dim">{session ? <span>{session.runtime}, {session.model}</span> : null}{session?.forked_from ? <span>a copy of <a href={`#/s/${session.forked_from.session_id}`}>another session</a> at the end of turn {session.forked_from.turn}</span> : null}</div>;
}

/** What is going on at the end: the turn that is yet to begin, provisioning, and that something runs. */
function Foot({ log }: { log: SessionLog }) {
  const session = log.session.value;
  const { root, begun: turns } = log.fold;
  void root.changed.value;
  if (!session || log.next.value) return <div class="log-foot" />;
  const number = session.current_turn;
  const turn = number === null ? undefined : log.turns.value.get(number);
  const begun = number !== null && (turns.has(number) || root.rows.at(-1)?.turn === number);
  const empty = root.rows.length === 0;
  return (
    <div class="log-foot">
      {turn && !begun ? <section class="turn pending"><div class="bubble"><PromptView text={turn.prompt} blocks={turn.blocks} /></div></section> : null}
      {log.stages.value.length > 0 && !begun ? <Stages stages={log.stages.value} /> : null}
      {session.status === "pending" ? <p class="dim working"><span class="spin" />{session.queue_position ? `Waiting for room on the machine: ${session.queue_position} in line` : "Starting"}</p> : null}
      {session.status === "running" && !begun ? <p class="dim working"><span class="spin" />The runtime is starting</p> : null}
      {session.status === "running" && begun ? <p class="dim working"><span class="pulse" />Working</p> : null}
      {session.status === "failed" && !begun ? (
        <div class="note bad"><Icon name="warn" /><div class="grow"><strong>The session failed before its turn began.</strong><div class="plain-text"><Exact text={session.error ?? ""} /></div></div></div>
      ) : null}
      {empty && !turn && session.status === "completed" ? <div class="empty"><h2>The sandbox is ready</h2><p class="dim">Ask for something below.</p></div> : null}
    </div>
  );
}

const STAGES: Record<string, string> = {
  create_sandbox: "making the sandbox", clone_repositories: "cloning repositories", setup_script: "running the setup script",
  install_packages: "installing packages", write_skills: "writing skills", start_cli: "starting the CLI",
};
const stageName = (stage: string): string => STAGES[stage] ?? stage.replaceAll("_", " ");

function Stages({ stages }: { stages: Stage[] }) {
  const done = stages.filter((it) => it.state === "done");
  const failed = stages.find((it) => it.state === "failed");
  const now = stages.findLast((it) => it.state === "started");
  const took = done.reduce((sum, it) => sum + (it.duration_ms ?? 0), 0);
  return (
    <div class="stages">
      <progress max={Math.max(stages.length, 1)} value={done.length} aria-label="Provisioning" />
      <span class="dim">{failed ? `Failed at ${stageName(failed.stage)}` : now ? `${stageName(now.stage)}…` : `Prepared in ${duration(took)}`}</span>
      {failed?.message ? <div class="note bad"><Output text={failed.message} label="Message" /></div> : null}
    </div>
  );
}

/** The agent's list of things to do, in its latest form. */
function Todo({ log }: { log: SessionLog }) {
  const [open, setOpen] = useState(true);
  const items = log.fold.todo.value;
  if (!items || items.length === 0 || !log.isRunning) return null;
  const done = items.filter((it) => it.status === "completed").length;
  const now = items.find((it) => it.status === "in_progress");
  return (
    <div class="todo-pinned">
      <button type="button" class="disclosure" aria-expanded={open} onClick={() => setOpen(!open)}>
        <Icon name={open ? "down" : "right"} class="chevron" /><span>{done} of {items.length} done</span>
        {!open && now ? <span class="tool-about"><Exact text={now.text} /></span> : null}
      </button>
      {open ? <TodoItems items={items} /> : null}
    </div>
  );
}

export function TodoItems({ items }: { items: { text: string; status: string }[] }) {
  const words: Record<string, string> = { completed: "done", in_progress: "in progress", pending: "to do" };
  return <ul class="todo">{items.map((it, n) => <li key={n} class={it.status}><span class="tick" role="img" aria-label={words[it.status] ?? it.status}>{it.status === "completed" ? <Icon name="check" /> : null}</span><Exact text={it.text} /></li>)}</ul>;
}

const NATIVE = 400_000;

/** What the runtime's program wrote, as it is: the end of it. */
function Native({ path, onClose }: { path: string; onClose: () => void }) {
  const [text, setText] = useState<string | null>(null);
  const [error, setError] = useState<unknown>(null);
  useEffect(() => {
    const aborter = new AbortController();
    void (async () => {
      try {
        const reply = await request("GET", `${path}/stream?follow=false`, { headers: { accept: "text/event-stream" }, signal: aborter.signal });
        if (!reply.ok || !reply.body) throw await failure(reply);
        const decoder = new TextDecoder();
        const reader = reply.body.getReader();
        let all = "";
        for (;;) {
          const { done, value } = await reader.read();
          if (done) break;
          all += decoder.decode(value, { stream: true });
          if (all.length > NATIVE * 2) all = all.slice(-NATIVE);
        }
        setText(all);
      } catch (failed) {
        if (!aborter.signal.aborted) setError(failed);
      }
    })();
    return () => aborter.abort();
  }, [path]);
  return (
    <Dialog title="Native stream" wide onClose={onClose}>
      <div class="dialog-body">
        <p class="dim">What the runtime's program wrote, as <code>GET {path}/stream</code> has it. The end of it is shown.</p>
        <ErrorNote error={error} />
        {text === null && !error ? <Loading /> : null}
        {text === null ? null : <><pre class="code native" tabIndex={0}><Exact text={text.slice(-60_000)} /></pre><button type="button" class="small" onClick={() => save(new Blob([text]), "stream.txt")}><Icon name="download" />Save</button></>}
      </div>
    </Dialog>
  );
}
