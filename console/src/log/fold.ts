// The rows of a conversation, made from its events one by one. Rows are changed in place and told
// of once a frame, so that a piece of text costs the row that it belongs to and nothing else.

import { type Signal, batch, signal } from "@preact/signals";
import type { Diff, Event, Part, PermissionRequest, ToolCall } from "../lib/types";

interface Base {
  key: string;
  turn: number | null;
  /** When its first event was written, in milliseconds. */
  at: number;
  /** Rises when it has changed. */
  changed: Signal<number>;
}

export interface TurnRow extends Base { kind: "turn"; number: number; cause: string; continuity: string }
export interface TextRow extends Base {
  kind: "text" | "thought";
  role: "assistant" | "user" | "system";
  text: string;
  parts: Part[];
  done: boolean;
  aborted: boolean;
  discarded: string | null;
  until: number;
  /** The event that has it whole, where it is cut. */
  whole: string | null;
}
export interface ToolRow extends Base {
  kind: "tool";
  call: ToolCall | null;
  callId: string;
  title: string | null;
  output: string;
  parts: Part[];
  diffs: Diff[];
  changes: { path: string; kind: string; from?: string }[];
  state: "running" | "done" | "failed" | "lost";
  until: number;
  whole: string | null;
  /** What happened inside of it: a subagent's rows. */
  inner: Scope | null;
}
export interface GroupRow extends Base {
  kind: "group";
  tools: ToolRow[];
  /** How often each tool was called. */
  names: Map<string, number>;
}
export interface FileRow extends Base { kind: "file"; path: string; change: string; from: string | null; diff: string | null }
/** Changes that the server has seen at a turn's end, and that the agent did not tell of. */
export interface SeenRow extends Base { kind: "seen"; files: FileRow[] }
export interface NoticeRow extends Base { kind: "notice"; level: "info" | "warning" | "error"; items: { text: string; code?: string; count: number }[]; count: number }
export interface AskRow extends Base {
  kind: "ask";
  request: PermissionRequest;
  /** Whether it is a call of one of the agent's own tools, answered by a text of any kind. */
  isTool: boolean;
  state: "open" | "answered" | "default" | "withdrawn";
  answer: string | null;
}
export interface TaskRow extends Base { kind: "task"; id: string; title: string; state: string; what: string }
export interface InputRow extends Base { kind: "input"; id: string; text: string; state: string; reason: string | null }
export interface EndRow extends Base { kind: "end"; number: number; event: Extract<Event, { type: "turn.result" }> | null }
export interface UnparsedRow extends Base { kind: "unparsed"; count: number; sample: string }

export type Row = TurnRow | TextRow | ToolRow | GroupRow | FileRow | SeenRow | NoticeRow | AskRow | TaskRow | InputRow | EndRow | UnparsedRow;

/** Rows that follow one another: the conversation's, or those of a subagent. */
export class Scope {
  rows: Row[] = [];
  readonly texts = new Map<string, TextRow>();
  readonly changed = signal(0);
  constructor(readonly depth: number) {}

  /** Puts a row behind the others, and a result's row behind what belongs to its turn. */
  push<T extends Row>(row: T): T {
    this.rows.push(row);
    return row;
  }

  drop(row: Row): void {
    const at = this.rows.lastIndexOf(row);
    if (at >= 0) this.rows.splice(at, 1);
  }
}

export type TodoItem = { text: string; status: "pending" | "in_progress" | "completed" };

/** Events of subagents within one another are kept to this depth. */
const DEPTH = 16;

const NOTHING: Omit<ToolRow, "key" | "turn" | "at" | "changed" | "callId"> = {
  kind: "tool", call: null, title: null, output: "", parts: [], diffs: [], changes: [], state: "running",
  until: 0, whole: null, inner: null,
};

/** What pages keep of an output that comes in pieces. */
const OUTPUT = 256 * 1024;
/** What pages keep of a text that came whole: its event can be read by its id. */
const TEXT = 200_000;

export class Fold {
  readonly root = new Scope(0);
  readonly calls = new Map<string, ToolRow>();
  readonly asks = new Map<string, AskRow>();
  readonly tasks = new Map<string, TaskRow>();
  readonly inputs = new Map<string, InputRow>();
  /** Answers whose question is in a page that is not there yet. */
  readonly answers = new Map<string, Event>();
  /** The turns that have begun here. */
  readonly begun = new Set<number>();
  readonly todo = signal<TodoItem[] | null>(null);
  /** Edits that were told, each once, in their order, and how many are known. */
  edits: Diff[] = [];
  readonly changedFiles = new Set<string>();
  readonly changes = { changed: signal(0) };
  /** Rises when a question is asked or answered. */
  readonly questions = { changed: signal(0) };
  /** Rows and lists that have changed since the last frame. */
  readonly #dirty = new Set<{ changed: Signal<number> }>();
  #scheduled = false;
  touch(what: { changed: Signal<number> }): void {
    this.#dirty.add(what);
    if (this.#scheduled) return;
    this.#scheduled = true;
    const flush = () => {
      if (!this.#scheduled) return;
      this.#scheduled = false;
      const all = [...this.#dirty];
      this.#dirty.clear();
      batch(() => {
        for (const it of all) it.changed.value++;
      });
    };
    // Pages that nobody looks at have no frames.
    if (document.hidden) setTimeout(flush, 250);
    else requestAnimationFrame(flush);
  }

  /** Takes the events of a page. */
  apply(events: Event[]): void {
    for (const event of events) this.event(event);
  }

  #base(event: Event, key: string): Base {
    return { key, turn: event.turn, at: Date.parse(event.at), changed: signal(0) };
  }

  #scope(event: Event): Scope {
    if (event.inside === undefined) return this.root;
    const row = this.#call(event, event.inside);
    if (!row.inner) {
      // A call that is told of within itself, or very deep, would never end.
      const depth = Math.min(DEPTH, this.#depths.get(event.inside) ?? 1);
      row.inner = new Scope(depth);
      this.touch(row);
    }
    return row.inner;
  }

  readonly #depths = new Map<string, number>();

  /** The row of a call; one without the call where that is in a page that is not there. */
  #call(event: Event, callId: string): ToolRow {
    const known = this.calls.get(callId);
    if (known) return known;
    const row: ToolRow = { ...NOTHING, parts: [], diffs: [], changes: [], ...this.#base(event, `c:${callId}`), callId };
    this.calls.set(callId, row);
    this.root.push(row);
    this.touch(this.root);
    return row;
  }

  #text(event: Event, kind: "text" | "thought", ordinal: number): TextRow {
    const scope = this.#scope(event);
    const name = `${event.turn}:${ordinal}`;
    const known = scope.texts.get(name);
    if (known) return known;
    const row: TextRow = {
      ...this.#base(event, `m:${event.inside ?? ""}:${name}`),
      kind, role: "assistant", text: "", parts: [], done: false, aborted: false, discarded: null, until: 0, whole: null,
    };
    scope.texts.set(name, row);
    scope.push(row);
    this.touch(scope);
    return row;
  }

  event(event: Event): void {
    const scope = this.#scope(event);
    switch (event.type) {
      case "turn.started": {
        const row: TurnRow = {
          ...this.#base(event, `t:${event.id}`),
          kind: "turn", number: event.turn ?? 0, cause: event.cause, continuity: event.continuity,
        };
        scope.push(row);
        this.begun.add(row.number);
        this.touch(scope);
        break;
      }
      case "message.delta":
      case "reasoning.delta": {
        const row = this.#text(event, event.type === "message.delta" ? "text" : "thought", event.message);
        if (row.done) break;
        row.text += event.text;
        row.until = Date.parse(event.at);
        this.touch(row);
        break;
      }
      case "message":
      case "reasoning": {
        const row = this.#text(event, event.type === "message" ? "text" : "thought", event.ordinal);
        row.text = short(event.text);
        row.done = true;
        row.until = Date.parse(event.at);
        row.whole = event.truncated || row.text !== event.text ? event.id : null;
        if (event.type === "message") {
          row.role = event.role;
          row.parts = event.parts ?? [];
          row.aborted = event.aborted === true;
        }
        this.touch(row);
        break;
      }
      case "message.discarded": {
        const row = scope.texts.get(`${event.turn}:${event.message}`);
        if (!row) break;
        row.done = true;
        row.discarded = event.reason || "taken back";
        this.touch(row);
        break;
      }
      case "tool.call": {
        const known = this.calls.get(event.call_id);
        if (event.inside !== undefined) this.#depths.set(event.call_id, scope.depth + 1);
        if (known) {
          known.call = event;
          known.title = event.title ?? known.title;
          this.touch(known);
          break;
        }
        const row: ToolRow = {
          ...NOTHING, parts: [], diffs: [], changes: [],
          ...this.#base(event, `c:${event.call_id}`), callId: event.call_id, call: event, title: event.title ?? null,
        };
        this.calls.set(event.call_id, row);
        scope.push(row);
        this.touch(scope);
        break;
      }
      case "tool.update": {
        const row = this.#call(event, event.call_id);
        if (event.title) row.title = event.title;
        if (event.output) {
          row.output += event.output;
          if (row.output.length > OUTPUT) row.output = row.output.slice(-OUTPUT);
        }
        this.touch(row);
        break;
      }
      case "tool.result": {
        const row = this.#call(event, event.call_id);
        row.output = short(event.output);
        row.parts = event.parts ?? [];
        for (const part of row.parts) if (part.diff) this.#edited(row, part.diff);
        row.state = event.is_error ? "failed" : "done";
        row.until = Date.parse(event.at);
        row.whole = event.truncated || row.output !== event.output ? event.id : null;
        this.touch(row);
        if (!event.is_error) this.#group(scope, row);
        break;
      }
      case "file.change": {
        const row = event.call_id === undefined ? undefined : this.calls.get(event.call_id);
        if (row) {
          if (event.diff && !row.diffs.some((it) => it.path === event.path)) this.#edited(row, { path: event.path, unified: event.diff });
          row.changes.push({ path: event.path, kind: event.kind, from: event.moved_from });
          this.#changed(event.path);
          this.touch(row);
          break;
        }
        if (event.diff) this.#edited(null, { path: event.path, unified: event.diff });
        this.#changed(event.path);
        const file: FileRow = {
          ...this.#base(event, `f:${event.id}`),
          kind: "file", path: event.path, change: event.kind, from: event.moved_from ?? null, diff: event.diff ?? null,
        };
        const last = scope.rows.at(-1);
        if (event.seen_by_host && last?.kind === "seen") {
          last.files.push(file);
          this.touch(last);
          break;
        }
        scope.push(event.seen_by_host ? { ...this.#base(event, `h:${event.id}`), kind: "seen", files: [file] } : file);
        this.touch(scope);
        break;
      }
      case "todo":
        if (event.inside === undefined) this.todo.value = event.items;
        break;
      case "notice":
        this.#notice(event, scope, event.level, event.text, event.code);
        break;
      case "mcp.server": {
        const bad = event.state === "failed" || event.state === "needs_auth";
        const state = event.state.replace("_", " ");
        this.#notice(event, scope, bad ? "warning" : "info", `MCP server ${event.name}: ${state}${event.message ? `, ${event.message}` : ""}`);
        break;
      }
      case "compaction": {
        const figures = event.tokens_before && event.tokens_after ? `: ${event.tokens_before} to ${event.tokens_after} tokens` : "";
        this.#notice(event, scope, "info", event.done ? `The conversation was made shorter${figures}` : "The conversation is being made shorter");
        break;
      }
      case "task": {
        const known = this.tasks.get(event.task_id);
        if (known) {
          known.state = event.state;
          if (event.title) known.title = event.title;
          this.touch(known);
          break;
        }
        const row: TaskRow = { ...this.#base(event, `k:${event.task_id}`), kind: "task", id: event.task_id, title: event.title ?? "", state: event.state, what: event.kind };
        this.tasks.set(event.task_id, row);
        scope.push(row);
        this.touch(scope);
        break;
      }
      case "permission.request":
      case "tool.request": {
        const isTool = event.type === "tool.request";
        const request: PermissionRequest = isTool
          ? { request_id: event.request_id, kind: "question", title: event.name, detail: event.input, choices: [], editable: false, default: event.default.content, deadline_ms: event.deadline_ms }
          : event;
        const row: AskRow = { ...this.#base(event, `q:${event.request_id}`), kind: "ask", request, isTool, state: "open", answer: null };
        const early = this.answers.get(event.request_id);
        this.asks.set(event.request_id, row);
        // A question stands where all see it, whoever asks.
        this.root.push(row);
        if (early) this.#answered(row, early);
        this.touch(this.root);
        this.touch(this.questions);
        break;
      }
      case "permission.answer":
      case "permission.withdrawn":
      case "tool.answer":
      case "tool.withdrawn": {
        const row = this.asks.get(event.request_id);
        if (row) this.#answered(row, event);
        else this.answers.set(event.request_id, event);
        break;
      }
      case "turn.input": {
        const known = this.inputs.get(event.input_id);
        if (known) {
          known.state = event.state;
          known.reason = event.reason ?? null;
          if (event.text) known.text = event.text;
          this.touch(known);
          break;
        }
        const row: InputRow = { ...this.#base(event, `i:${event.input_id}`), kind: "input", id: event.input_id, text: event.text ?? "", state: event.state, reason: event.reason ?? null };
        this.inputs.set(event.input_id, row);
        scope.push(row);
        this.touch(scope);
        break;
      }
      case "turn.result":
        this.end(event.turn ?? 0, event);
        break;
      case "unparsed":
      case "other": {
        const data = event.type === "unparsed" ? event.data : `${event.kind} ${JSON.stringify(event.json) ?? ""}`;
        const last = scope.rows.at(-1);
        if (last?.kind === "unparsed") {
          last.count++;
          this.touch(last);
          break;
        }
        scope.push({ ...this.#base(event, `u:${event.id}`), kind: "unparsed", count: 1, sample: data.slice(0, 2000) });
        this.touch(scope);
        break;
      }
      case "usage":
      case "session.started":
        break;
    }
  }

  /** Ends a turn, by its result or, where it has none, by what is known of it. */
  end(turn: number, event: Extract<Event, { type: "turn.result" }> | null, at = 0): void {
    const key = `e:${turn}`;
    for (let i = this.root.rows.length - 1; i >= 0; i--) {
      const row = this.root.rows[i];
      if (row?.kind === "end" && row.number === turn) {
        if (event) row.event = event;
        this.touch(row);
        return;
      }
      if (row?.kind === "turn" && row.number === turn) break;
    }
    const row: EndRow = { key, turn, at: event ? Date.parse(event.at) : at, changed: signal(0), kind: "end", number: turn, event };
    // A turn that was given up may have been followed by another one already.
    const next = this.root.rows.findIndex((it) => it.kind === "turn" && it.number > turn);
    if (next >= 0) this.root.rows.splice(next, 0, row);
    else this.root.push(row);
    this.touch(this.root);
    this.settle(turn);
  }

  /** Nothing of an ended turn goes on. */
  settle(turn: number): void {
    for (const row of this.calls.values()) {
      if (row.turn !== null && row.turn <= turn && row.state === "running" && row.call) {
        row.state = "lost";
        this.touch(row);
      }
    }
    for (const row of this.asks.values()) {
      if (row.turn !== null && row.turn <= turn && row.state === "open") {
        row.state = "withdrawn";
        this.touch(row);
        this.touch(this.questions);
      }
    }
  }

  #edited(row: ToolRow | null, diff: Diff): void {
    row?.diffs.push(diff);
    this.edits.push(diff);
    this.#changed(diff.path);
  }

  #changed(path: string): void {
    this.changedFiles.add(path);
    this.touch(this.changes);
  }

  #answered(row: AskRow, event: Event): void {
    if (event.type === "permission.withdrawn" || event.type === "tool.withdrawn") row.state = "withdrawn";
    else if (event.type === "permission.answer" || event.type === "tool.answer") {
      row.state = event.by_default ? "default" : "answered";
      row.answer = event.type === "tool.answer" ? event.content : event.answer;
    }
    this.touch(row);
    this.touch(this.questions);
  }

  #notice(event: Event, scope: Scope, level: NoticeRow["level"], text: string, code?: string): void {
    const last = scope.rows.at(-1);
    if (last?.kind === "notice" && last.level === level) {
      last.count++;
      const same = last.items.find((it) => it.text === text);
      if (same) same.count++;
      else if (last.items.length < 200) last.items.push({ text, code, count: 1 });
      this.touch(last);
      return;
    }
    scope.push({ ...this.#base(event, `n:${event.id}`), kind: "notice", level, items: [{ text, code, count: 1 }], count: 1 });
    this.touch(scope);
  }

  /** Joins a call that went well to those beside it: successes in a row are one line. */
  #group(scope: Scope, row: ToolRow): void {
    if (!groups(row)) return;
    const rows = scope.rows;
    const at = rows.lastIndexOf(row);
    if (at < 0) return;
    const fits = (it: Row | undefined): it is ToolRow | GroupRow =>
      it !== undefined && it.turn === row.turn && (it.kind === "group" || (it.kind === "tool" && it.state === "done" && groups(it)));
    const before = rows[at - 1];
    const after = rows[at + 1];
    const joined: (ToolRow | GroupRow)[] = [];
    if (fits(before)) joined.push(before);
    joined.push(row);
    if (fits(after)) joined.push(after);
    if (joined.length === 1) return;
    const first = joined[0] ?? row;
    // The first group grows in its place: calls that follow one another by thousands are not copied.
    const group: GroupRow = first.kind === "group" ? first
      : { key: `g:${first.key}`, turn: row.turn, at: first.at, changed: signal(0), kind: "group", tools: [], names: new Map() };
    for (const it of first.kind === "group" ? joined.slice(1) : joined) {
      for (const tool of it.kind === "group" ? it.tools : [it]) {
        group.tools.push(tool);
        const name = nameOf(tool);
        group.names.set(name, (group.names.get(name) ?? 0) + 1);
      }
    }
    rows.splice(first === before ? at - 1 : at, joined.length, group);
    this.touch(group);
    this.touch(scope);
  }

  /** Puts an older page before what is here. */
  prepend(older: Fold): void {
    for (const [id, row] of older.calls) {
      const newer = this.calls.get(id);
      if (newer && !newer.call) {
        row.output = newer.output;
        row.parts = newer.parts;
        row.diffs.push(...newer.diffs);
        row.changes.push(...newer.changes);
        row.state = newer.state;
        row.until = newer.until;
        row.whole = newer.whole;
        if (newer.inner) {
          if (row.inner) newer.inner.rows = [...row.inner.rows, ...newer.inner.rows];
          row.inner = newer.inner;
        }
        this.root.drop(newer);
      }
      if (!newer?.call) this.calls.set(id, row);
    }
    for (const [id, row] of older.asks) {
      const early = this.answers.get(id);
      if (early) this.#answered(row, early);
      if (!this.asks.has(id)) this.asks.set(id, row);
    }
    for (const [id, row] of older.tasks) {
      const newer = this.tasks.get(id);
      if (newer) {
        row.state = newer.state;
        row.title = newer.title || row.title;
        this.root.drop(newer);
      }
      this.tasks.set(id, row);
    }
    for (const [id, row] of older.inputs) {
      const newer = this.inputs.get(id);
      if (newer) {
        row.state = newer.state;
        row.reason = newer.reason;
        this.root.drop(newer);
      }
      this.inputs.set(id, row);
    }
    for (const [name, row] of older.root.texts) {
      const newer = this.root.texts.get(name);
      if (!newer) {
        this.root.texts.set(name, row);
        continue;
      }
      if (!newer.done) newer.text = row.text + newer.text;
      older.root.drop(row);
    }
    for (const [id, event] of older.answers) if (!this.answers.has(id)) this.answers.set(id, event);
    this.todo.value ??= older.todo.value;
    for (const turn of older.begun) this.begun.add(turn);
    this.edits = [...older.edits, ...this.edits];
    for (const path of older.changedFiles) this.#changed(path);
    this.root.rows = [...older.root.rows, ...this.root.rows];
    this.touch(this.root);
  }
}

/** How a call's tool is called. */
export function nameOf(row: ToolRow): string {
  const call = row.call;
  if (!call) return "An earlier call";
  return call.server ? `${call.server}: ${call.name}` : call.name;
}

/** The beginning of a text: what is longer would be kept, compared and searched for nothing. */
function short(text: string): string {
  return text.length > TEXT ? text.slice(0, TEXT) : text;
}

/** Whether a call that went well may be one of several in a line: not one whose diff or images are
    to be seen, and no subagent. */
function groups(row: ToolRow): boolean {
  return row.call !== null && !row.inner && row.call.kind !== "agent" && row.diffs.length === 0 && row.changes.length === 0 &&
    row.call.kind !== "edit" && row.parts.every((part) => !part.image);
}
