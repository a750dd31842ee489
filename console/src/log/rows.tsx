// How the rows of a conversation look, and what of them is open.

import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useContext, useEffect, useMemo, useState } from "preact/hooks";
import { createContext } from "preact";
import { get } from "../lib/api";
import { bytes, cost, count, duration, moment, plural, second } from "../lib/format";
import { lastLines, plain, revealed } from "../lib/text";
import { compare } from "../lib/worker-client";
import type { Event, PromptBlock, Turn } from "../lib/types";
import { serverNow } from "../lib/api";
import { CopyButton, attempt } from "../ui/basics";
import { Icon } from "../ui/icons";
import { Counted, DiffView, Exact, Markdown, Output, countDiff, pretty } from "../ui/text";
import { AskCard } from "./ask";
import { goingBack } from "./fork";
import { Picture } from "./picture";
import { nameOf } from "./fold";
import type { EndRow, FileRow, GroupRow, InputRow, NoticeRow, Row, Scope, SeenRow, TaskRow, TextRow, ToolRow, TurnRow, UnparsedRow } from "./fold";
import type { SessionLog } from "./session";

export interface View {
  log: SessionLog;
  /** Shows a subagent's rows in a view of their own. */
  openInner: (row: ToolRow) => void;
  openFile: (path: string) => void;
  openNative: () => void;
  retry: (prompt: string) => void;
}
export const ViewContext = createContext<View | null>(null);
export const useView = (): View => {
  const view = useContext(ViewContext);
  if (!view) throw new Error("a row outside of a session");
  return view;
};

/** What the user opened and closed, by the rows' keys: rows that scroll away lose nothing. */
const toggled = new Map<string, boolean>();
/** Rises when all are opened or closed at once. */
export const foldAll = signal<{ n: number; open: boolean | null }>({ n: 0, open: null });
export function toggleAll(): void {
  toggled.clear();
  foldAll.value = { n: foldAll.value.n + 1, open: foldAll.value.open !== true };
}

export function useOpen(key: string, standard: boolean): [boolean, () => void] {
  const [, paint] = useState(0);
  const all = foldAll.value.open;
  const open = toggled.get(key) ?? (all === null ? standard : all);
  return [open, () => {
    toggled.set(key, !open);
    paint((n) => n + 1);
  }];
}

/** Has a view follow its row: rows change in place, and a view that reads any signal is not painted
    again because of its parent alone. */
function useRow(row: Row): void {
  void row.changed.value;
}

export function RowView({ row, depth = 0 }: { row: Row; depth?: number }) {
  void row.changed.value;
  switch (row.kind) {
    case "turn": return <TurnHead row={row} />;
    case "text": return <Text row={row} />;
    case "thought": return <Thought row={row} />;
    case "tool": return <Tool row={row} depth={depth} />;
    case "group": return <Group row={row} depth={depth} />;
    case "file": return <FileChange row={row} />;
    case "seen": return <Seen row={row} />;
    case "notice": return <Notices row={row} />;
    case "ask": return <AskCard row={row} place="log" />;
    case "task": return <Task row={row} />;
    case "input": return <Input row={row} />;
    case "end": return <End row={row} />;
    case "unparsed": return <UnparsedView row={row} />;
  }
}

function Disclosure({ id, open, onToggle, children, class: more = "" }: { id: string; open: boolean; onToggle: () => void; children: ComponentChildren; class?: string }) {
  return (
    <button type="button" class={`disclosure ${more}`} aria-expanded={open} data-fold={id} onClick={onToggle}>
      <Icon name={open ? "down" : "right"} class="chevron" />
      {children}
    </button>
  );
}

// --- prompts ---

export function PromptView({ text, blocks }: { text: string; blocks?: PromptBlock[] }) {
  const [open, setOpen] = useState(false);
  const words = blocks ? blocks.flatMap((it) => (it.type === "text" ? [it.text] : [])).join("\n\n") : text;
  const long = words.length > 1500 || words.split("\n").length > 16;
  const shown = long && !open ? words.slice(0, 1500).split("\n").slice(0, 14).join("\n") : words.slice(0, 100_000);
  const files: { name: string; size?: number; type: string }[] = (blocks ?? []).flatMap((it): { name: string; size?: number; type: string }[] => (it.type === "text" ? [] : it.type === "workspace_file" ? [{ name: it.path, type: "file" }] : [{ name: it.attachment.name ?? it.type, size: it.attachment.size, type: it.type }]));
  return (
    <div class="prompt-text">
      <div class="plain-text" dir="auto"><Exact text={shown} /></div>
      {long ? <button type="button" class="quiet small" onClick={() => setOpen(!open)}>{open ? "Show less" : "Show all of it"}</button> : null}
      {files.length > 0 ? <div class="chips">{files.map((it) => <span class="chip"><Icon name={it.type === "image" ? "read" : "file"} /><Exact text={it.name} />{it.size === undefined ? null : <span class="dim">{bytes(it.size)}</span>}</span>)}</div> : null}
    </div>
  );
}

function TurnHead({ row }: { row: TurnRow }) {
  useRow(row);
  const { log } = useView();
  const turn = log.turns.value.get(row.number);
  const cause = row.cause === "background" ? "Work in the background went on" : null;
  return (
    <section class="turn" data-turn={row.number}>
      <div class="turn-line"><span>Turn {row.number}</span>{turn?.undone ? <span class="badge" title="The session was taken back to a turn before it">undone</span> : null}<time dateTime={new Date(row.at).toISOString()} title={moment(new Date(row.at).toISOString())}>{new Date(row.at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}</time></div>
      {turn && !cause ? <div class="bubble"><PromptView text={turn.prompt} blocks={turn.blocks} /></div> : null}
      {cause ? <p class="dim">{cause}.</p> : null}
      {turn?.continues !== undefined ? <p class="note">It goes on from the end of turn {turn.continues}.</p> : null}
      {row.continuity === "fresh" && row.number > 1 ? <p class="note">The agent does not remember the turns before this one.</p> : null}
    </section>
  );
}

function Input({ row }: { row: InputRow }) {
  useRow(row);
  const words: Record<string, string> = { sent: "Sent", queued: "Waits for the agent", delivered: "Told to the agent", cancelled: "Taken back", refused: "Not taken" };
  return (
    <div class="turn steer">
      <div class="bubble"><div class="plain-text" dir="auto"><Exact text={row.text} /></div></div>
      <div class="dim tiny right">{words[row.state] ?? row.state}{row.reason ? `: ${row.reason}` : ""}</div>
    </div>
  );
}

// --- texts ---

function Text({ row }: { row: TextRow }) {
  useRow(row);
  const { log } = useView();
  if (row.discarded) return <p class="dim">An answer that broke off was taken back: {row.discarded}</p>;
  const whole = row.whole;
  return (
    <div class={`message ${row.role}`}>
      {row.role === "system" ? <div class="dim tiny">System</div> : null}
      <Markdown text={row.text} done={row.done} owner={row} />
      {row.parts.map((part) => (part.image ? <Picture image={part.image} /> : part.link ? <p><Exact text={part.link.name ?? part.link.uri} /></p> : part.diff ? <DiffView unified={part.diff.unified} /> : null))}
      {row.aborted ? <p class="dim">It breaks off here.</p> : null}
      {whole ? <button type="button" class="quiet small" onClick={() => void load(log, whole, row)}>Load all of it</button> : null}
    </div>
  );
}

/** Reads an event whole that a page had cut. */
async function load(log: SessionLog, id: string, row: TextRow | ToolRow): Promise<void> {
  const event = await attempt(() => get<Event>(`${log.path}/events/${id}`));
  if (!event) return;
  if (row.kind === "tool" && event.type === "tool.result") row.output = event.output;
  else if (row.kind !== "tool" && (event.type === "message" || event.type === "reasoning")) row.text = event.text;
  row.whole = null;
  log.fold.touch(row);
}

function Thought({ row }: { row: TextRow }) {
  useRow(row);
  const [open, toggle] = useOpen(row.key, false);
  const took = row.until > row.at ? ` for ${duration(row.until - row.at)}` : "";
  if (!row.done) void second.value;
  return (
    <div class="thought">
      <Disclosure id={row.key} open={open} onToggle={toggle}><Icon name="think" />{row.done ? `Thought${took}` : "Thinking…"}</Disclosure>
      {open ? <div class="inset"><Markdown text={row.text} done={row.done} owner={row} /></div> : null}
    </div>
  );
}

// --- tools ---

const ICONS: Record<string, string> = {
  read: "read", edit: "edit", delete: "trash", move: "right", search: "search", execute: "terminal", think: "think",
  fetch: "globe", mcp: "tool", agent: "agent", other: "tool",
};

/** What a call is about, in a line. */
function about(row: ToolRow): string {
  if (row.title) return row.title;
  const input = row.call?.input;
  if (typeof input === "string") return input;
  if (input && typeof input === "object") {
    const fields = input as Record<string, unknown>;
    for (const name of ["command", "cmd", "file_path", "path", "filePath", "pattern", "query", "url", "description", "prompt", "task"]) {
      const value = fields[name];
      if (typeof value === "string" && value) return value;
      if (Array.isArray(value) && value.every((it) => typeof it === "string")) return value.join(" ");
    }
    const [first] = Object.values(fields);
    if (typeof first === "string") return first;
  }
  return row.call?.locations?.[0]?.path ?? "";
}

function Took({ row }: { row: ToolRow }) {
  useRow(row);
  if (row.state === "running") {
    void second.value;
    const ms = serverNow() - row.at;
    return ms > 1500 ? <span class="dim">{duration(ms)}</span> : null;
  }
  return row.until > row.at ? <span class="dim">{duration(row.until - row.at)}</span> : null;
}

const MARKS: Record<ToolRow["state"], ComponentChildren> = {
  running: <span class="spin" role="img" aria-label="running" />,
  done: <span class="mark ok" role="img" aria-label="done"><Icon name="check" /></span>,
  failed: <span class="mark bad" role="img" aria-label="failed"><Icon name="cross" /></span>,
  lost: <span class="mark dim" role="img" aria-label="no result"><Icon name="question" /></span>,
};

function Tool({ row, depth }: { row: ToolRow; depth: number }) {
  useRow(row);
  const agent = row.inner !== null || row.call?.kind === "agent";
  const edits = row.diffs.length > 0;
  const [open, toggle] = useOpen(row.key, row.state === "failed" || (edits && row.state !== "lost"));
  const line = about(row).slice(0, 1000).split("\n")[0] ?? "";
  const counted = useMemo(() => (edits ? row.diffs.map((it) => countDiff(it.unified)).reduce((a, b) => ({ added: a.added + b.added, removed: a.removed + b.removed })) : null), [row, row.diffs.length]);
  return (
    <div class={`tool ${row.state} ${agent ? "agent" : ""}`} data-call={row.callId}>
      <Disclosure id={row.key} open={open} onToggle={toggle}>
        <Icon name={ICONS[row.call?.kind ?? "other"] ?? "tool"} />
        <span class="tool-name">{agent && row.call?.kind === "agent" ? "Subagent" : revealed(nameOf(row))}</span>
        <span class="tool-about"><Exact text={line.slice(0, 300)} /></span>
        {counted ? <Counted {...counted} /> : null}
        <Took row={row} />
        {MARKS[row.state]}
      </Disclosure>
      {agent ? <Inner row={row} depth={depth} open={open} /> : null}
      {open ? <ToolBody row={row} /> : row.state === "running" && row.output && !agent ? (
        <pre class="last-lines" aria-label="Last lines">{plain(lastLines(row.output, 5))}</pre>
      ) : null}
      {row.state === "lost" && open ? <p class="dim">Its turn ended before there was a result.</p> : null}
    </div>
  );
}

function ToolBody({ row }: { row: ToolRow }) {
  useRow(row);
  const { log, openFile } = useView();
  const whole = row.whole;
  const images = row.parts.flatMap((part) => (part.image ? [part.image] : []));
  return (
    <div class="tool-body">
      <ToolInput row={row} />
      {row.diffs.map((diff) => (
        <div class="edited">
          <div class="path"><button type="button" class="link" onClick={() => openFile(diff.path)}><Exact text={diff.path} /></button></div>
          <DiffView unified={diff.unified} />
        </div>
      ))}
      {row.diffs.length === 0 ? row.changes.map((it) => <p><Icon name="file" /> <Exact text={it.path} /> <span class="dim">{it.kind}</span></p>) : null}
      {row.output && (row.diffs.length === 0 || row.state === "failed") ? <Output text={row.output} onWhole={whole ? () => void load(log, whole, row) : undefined} /> : null}
      {images.map((image) => <Picture image={image} />)}
      {row.parts.map((part) => (part.json === undefined ? null : <Output text={pretty(part.json)} label="Data" />))}
    </div>
  );
}

function ToolInput({ row }: { row: ToolRow }) {
  useRow(row);
  const call = row.call;
  const input = call?.input;
  const text = useMemo(() => (input === undefined || input === null ? "" : pretty(input)), [input]);
  const fields = input && typeof input === "object" && !Array.isArray(input) ? (input as Record<string, unknown>) : null;
  const before = fields?.old_string ?? fields?.oldString ?? fields?.oldText;
  const after = fields?.new_string ?? fields?.newString ?? fields?.newText;
  if (row.diffs.length > 0) return null;
  if (typeof before === "string" && typeof after === "string") return <Compared before={before} after={after} path={about(row)} />;
  if (input === undefined || input === null) return null;
  const command = fields?.command ?? fields?.cmd;
  if (call?.kind === "execute" && typeof command === "string") return <pre class="input" tabIndex={0} aria-label="Command"><span class="dim">$ </span><Exact text={command.slice(0, 20_000)} /></pre>;
  if (text === "{}" || text === '""') return null;
  return <pre class="input" tabIndex={0} aria-label="Input"><Exact text={text.length > 8000 ? `${text.slice(0, 8000)}\n… ${bytes(text.length - 8000)} left out` : text} /></pre>;
}

function Compared({ before, after, path }: { before: string; after: string; path: string }) {
  const [diff, setDiff] = useState<string | null | undefined>(undefined);
  useEffect(() => { void compare(before, after, path).then(setDiff); }, [before, after, path]);
  if (diff === undefined) return null;
  if (diff !== null) return <DiffView unified={diff} />;
  return <DiffView unified={[...before.split("\n").map((it) => `-${it}`), ...after.split("\n").map((it) => `+${it}`)].join("\n")} />;
}

/** A subagent's last step, or all of its steps. */
function Inner({ row, depth, open }: { row: ToolRow; depth: number; open: boolean }) {
  useRow(row);
  const { openInner } = useView();
  const inner = row.inner;
  if (!inner) return null;
  void inner.changed.value;
  const last = inner.rows.at(-1);
  const steps = inner.rows.reduce((n, it) => n + (it.kind === "group" ? it.tools.length : 1), 0);
  if (!open) {
    return <div class="inner-line dim">{plural(steps, "step")}{last && row.state === "running" ? <>: <Exact text={brief(last)} /></> : null}</div>;
  }
  if (depth >= 2) return <button type="button" class="small" onClick={() => openInner(row)}>Show its {plural(steps, "step")}</button>;
  return <InnerRows scope={inner} depth={depth + 1} onMore={() => openInner(row)} />;
}

export function InnerRows({ scope, depth, most = 60, onMore }: { scope: Scope; depth: number; most?: number; onMore?: () => void }) {
  void scope.changed.value;
  const left = scope.rows.length - most;
  return (
    <div class="inner">
      {left > 0 ? <button type="button" class="quiet small" onClick={onMore}>{plural(left, "earlier step")}</button> : null}
      {scope.rows.slice(-most).map((it) => <RowView key={it.key} row={it} depth={depth} />)}
    </div>
  );
}

function brief(row: Row): string {
  switch (row.kind) {
    case "text": return row.text.slice(-80);
    case "thought": return "thinking";
    case "tool": return `${nameOf(row)} ${about(row)}`.slice(0, 100);
    case "group": return brief(row.tools.at(-1) as ToolRow);
    default: return "";
  }
}

function Group({ row, depth }: { row: GroupRow; depth: number }) {
  useRow(row);
  const [open, toggle] = useOpen(row.key, false);
  const [most, setMost] = useState(100);
  const { names } = row;
  const left = row.tools.length - most;
  const list = [...names].slice(0, 5).map(([name, n]) => (n > 1 ? `${name} ×${n}` : name)).join(", ");
  return (
    <div class="tool group">
      <Disclosure id={row.key} open={open} onToggle={toggle}>
        <Icon name="tool" />
        <span class="tool-name">{plural(row.tools.length, "tool call")}</span>
        <span class="tool-about"><Exact text={names.size > 5 ? `${list}, …` : list} /></span>
        {MARKS.done}
      </Disclosure>
      {open ? <div class="inner">{left > 0 ? <button type="button" class="quiet small" onClick={() => setMost(most * 2)}>{plural(left, "earlier call")}</button> : null}{row.tools.slice(-most).map((tool) => <RowView key={tool.key} row={tool} depth={depth} />)}</div> : null}
    </div>
  );
}

function FileChange({ row }: { row: FileRow }) {
  useRow(row);
  const { openFile } = useView();
  const [open, toggle] = useOpen(row.key, true);
  return (
    <div class="tool">
      <Disclosure id={row.key} open={open && row.diff !== null} onToggle={toggle}>
        <Icon name="file" /><span class="tool-name">{row.change}</span>
        <span class="tool-about"><Exact text={row.from ? `${row.from} → ${row.path}` : row.path} /></span>
        {row.diff ? <Counted {...countDiff(row.diff)} /> : null}
      </Disclosure>
      {open && row.diff ? <DiffView unified={row.diff} /> : null}
      {open && !row.diff && row.change !== "deleted" ? <button type="button" class="quiet small" onClick={() => openFile(row.path)}>Show the file</button> : null}
    </div>
  );
}

/** Of what the server has seen, so many files are shown at first. */
const SEEN = 50;

function Seen({ row }: { row: SeenRow }) {
  useRow(row);
  const { files } = row;
  const counted = files.map((it) => countDiff(it.diff ?? "")).reduce((a, b) => ({ added: a.added + b.added, removed: a.removed + b.removed }));
  const [open, toggle] = useOpen(row.key, files.length < 4 && counted.added + counted.removed <= 40);
  const [most, setMost] = useState(SEEN);
  return (
    <div class="tool seen">
      <Disclosure id={row.key} open={open} onToggle={toggle}>
        <Icon name="file" />
        <span class="tool-name">{plural(files.length, "file")} changed besides</span>
        <span class="tool-about"><Exact text={files.slice(0, 5).map((it) => it.path).join(", ").slice(0, 300)} /></span>
        {counted.added + counted.removed > 0 ? <Counted {...counted} /> : null}
      </Disclosure>
      {open ? (
        <div class="inner">
          <p class="dim tiny">The agent did not tell of {files.length === 1 ? "this" : "these"}: the server saw it in the workspace when the turn was over.</p>
          {files.slice(0, most).map((it) => <FileChange key={it.key} row={it} />)}
          {files.length > most ? <button type="button" class="quiet small" onClick={() => setMost(most * 2)}>{plural(files.length - most, "more file", "more files")}</button> : null}
        </div>
      ) : null}
    </div>
  );
}

// --- what happens around ---

function Notices({ row }: { row: NoticeRow }) {
  useRow(row);
  const [open, toggle] = useOpen(row.key, row.level === "error");
  const first = row.items[0];
  const one = row.items.length === 1 && first;
  return (
    <div class={`notice ${row.level}`}>
      <Disclosure id={row.key} open={open} onToggle={toggle}>
        {row.level === "info" ? null : <Icon name="warn" />}
        <span class="tool-about"><Exact text={one ? one.text.slice(0, 400) : plural(row.count, row.level === "info" ? "notice" : row.level)} /></span>
        {one && one.count > 1 ? <span class="badge">{one.count}</span> : null}
      </Disclosure>
      {open ? <ul class="plain inset">{row.items.map((it) => <li><Exact text={it.text.slice(0, 4000)} />{it.count > 1 ? <span class="badge">{it.count}</span> : null}{it.code ? <code class="dim"> {it.code}</code> : null}</li>)}</ul> : null}
    </div>
  );
}

function Task({ row }: { row: TaskRow }) {
  useRow(row);
  const words: Record<string, string> = { opened: "runs in the background", progressed: "runs in the background", completed: "has ended", failed: "has failed", stopped: "was stopped" };
  return <div class="notice info task-line"><Icon name={row.what === "subagent" ? "agent" : "terminal"} /><span class="tool-about"><Exact text={row.title || row.what} /></span><span class="dim">{words[row.state] ?? row.state}</span></div>;
}

function UnparsedView({ row }: { row: UnparsedRow }) {
  useRow(row);
  const { openNative } = useView();
  const [open, toggle] = useOpen(row.key, false);
  return (
    <div class="notice info">
      <Disclosure id={row.key} open={open} onToggle={toggle}><span class="tool-about">{plural(row.count, "line")} of the runtime that this adapter does not know</span></Disclosure>
      {open ? <div class="inset"><Output text={row.sample} label="Line" /><button type="button" class="quiet small" onClick={openNative}>Show the native stream</button></div> : null}
    </div>
  );
}

// --- ends ---

const OUTCOMES: Record<string, string> = { completed: "Done", failed: "Failed", interrupted: "Interrupted", terminated: "Terminated" };

const FAILURES: Record<string, string> = {
  auth: "The provider refused the credential.",
  quota: "The provider's quota is used up.",
  provider: "The provider failed.",
  tool: "A tool failed.",
  timeout: "The turn took longer than it may.",
  resume: "The conversation could not be resumed.",
  crash: "The runtime's program crashed.",
  limit: "A limit was reached.",
  output: "The answer does not fit the schema.",
  refused: "The model refused.",
  unsupported: "The runtime cannot do this.",
};

/** Whether there is something behind a turn that could be undone. */
function canGoBack(log: SessionLog, turn: number): boolean {
  const session = log.session.value;
  return session !== null && session.resumable && !log.isRunning && turn < session.turn_count && turn !== session.restored_to && log.turns.value.get(turn)?.undone !== true;
}

function End({ row }: { row: EndRow }) {
  useRow(row);
  const { log, retry } = useView();
  const turn = log.turns.value.get(row.number);
  const result = row.event ?? turn?.result ?? null;
  const outcome = turn?.outcome ?? (result?.is_error ? "failed" : result?.stop === "interrupted" ? "interrupted" : "completed");
  const took = result?.duration_ms ?? (turn?.started_at && turn.ended_at ? Date.parse(turn.ended_at) - Date.parse(turn.started_at) : null);
  const failure = result?.failure;
  return (
    <div class={`end ${outcome}`}>
      <div class="end-line">
        <strong>{OUTCOMES[outcome] ?? outcome}</strong>
        {took === null ? null : <span>{duration(took)}</span>}
        {turn ? <TurnUsage turn={turn} /> : null}
        {result?.stop_reason && outcome !== "completed" ? <span class="dim">{revealed(result.stop_reason)}</span> : null}
        {result?.text ? <CopyButton text={result.text} label="Copy the answer" /> : null}
        {turn?.ended_at ? <button type="button" class="quiet small" title={`A new session from the end of turn ${row.number}`} onClick={() => (goingBack.value = { how: "fork", turn: row.number })}><Icon name="fork" />Fork</button> : null}
        {turn?.ended_at && canGoBack(log, row.number) ? <button type="button" class="quiet small" title={`Take this session back to the end of turn ${row.number}`} onClick={() => (goingBack.value = { how: "restore", turn: row.number })}><Icon name="back" />Go back here</button> : null}
      </div>
      {outcome === "failed" ? (
        <div class="note bad">
          <Icon name="warn" />
          <div class="grow">
            {failure ? <div><strong>{FAILURES[failure.kind] ?? failure.kind}</strong></div> : null}
            <div class="plain-text"><Exact text={(failure?.message ?? turn?.error ?? log.session.value?.error ?? "The turn failed without saying why.").slice(0, 4000)} /></div>
            {failure?.retry_at ? <Countdown at={failure.retry_at} /> : null}
            <div class="row">
              {failure?.kind === "auth" ? <a class="button small" href="#/credentials">Register a credential</a> : null}
              {turn && log.session.value?.resumable && row.number === log.session.value.turn_count ? <button type="button" class="small" onClick={() => retry(turn.prompt)}>Send again</button> : null}
            </div>
          </div>
        </div>
      ) : null}
      {result?.structured === undefined ? null : <Output text={pretty(result.structured)} label="Structured answer" />}
    </div>
  );
}

export function Countdown({ at }: { at: string }) {
  void second.value;
  const left = Date.parse(at) - serverNow();
  return <div class="dim">{left > 0 ? `Try again in ${duration(left)}` : "It may be tried again now."}</div>;
}

export function TurnUsage({ turn }: { turn: Turn }) {
  const { input_tokens, output_tokens, cached_tokens, cost_usd } = turn.usage;
  return (
    <>
      <span title={`${input_tokens} in, ${cached_tokens} of the cache, ${output_tokens} out`}>{count(input_tokens + cached_tokens)} in, {count(output_tokens)} out</span>
      <span>{cost(cost_usd)}</span>
      <SaidByProvider turn={turn} />
    </>
  );
}

/** Whether two figures differ by more than a hundredth. */
const differ = (a: number, b: number): boolean => Math.abs(a - b) * 100 > Math.max(a, b);

/** What the providers say that a turn used, where that is not what the CLI says. */
function SaidByProvider({ turn }: { turn: Turn }) {
  const said = turn.provider_usage;
  if (!said) return null;
  const sent = said.input_tokens + said.cached_tokens;
  const { usage } = turn;
  if (!differ(sent, usage.input_tokens + usage.cached_tokens) && !differ(said.output_tokens, usage.output_tokens)) return null;
  return <span class="differs" title={`${plural(said.requests, "answer")} of the provider: ${said.input_tokens} in, ${said.cached_tokens} of the cache, ${said.output_tokens} out. Something in the sandbox has asked the model besides, or the CLI does not say all.`}>the provider counts {count(sent)} in, {count(said.output_tokens)} out</span>;
}
