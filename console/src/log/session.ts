// One session as the page has it: the session, its turns, and a window of its events that grows at
// both ends and follows what comes.

import { type Signal, batch, signal } from "@preact/signals";
import { createParser } from "eventsource-parser";
import { ApiError, get, request, token } from "../lib/api";
import { poll as pollSessions, sessionsStream } from "../lib/sessions";
import { Stream, asleep, hasSlot } from "../lib/sse";
import type { Event, EventsPage, Listing, QueuedPrompt, Session, Turn } from "../lib/types";
import { Fold } from "./fold";

const PAGE = 200;
/** Rows that a window begins with, where there are so many. */
const ENOUGH = 30;

export interface Stage {
  stage: string;
  state: "started" | "done" | "failed";
  duration_ms?: number;
  message?: string;
}

export class SessionLog {
  readonly session: Signal<Session | null> = signal(null);
  readonly turns = signal(new Map<number, Turn>());
  readonly queue = signal<QueuedPrompt[]>([]);
  readonly stages = signal<Stage[]>([]);
  readonly error = signal<ApiError | null>(null);
  readonly loaded = signal(false);
  readonly busy = signal(false);
  /** Counts rows that came behind others, for "N new". */
  readonly appended = signal(0);
  readonly stream = signal<Stream | null>(null);
  readonly prev = signal<string | null>(null);
  readonly next = signal<string | null>(null);
  readonly #fold = signal(new Fold());
  #last: string | null = null;
  /** The last turn of which the session's page has asked for events. */
  #known = 0;
  #stopped = false;
  #provisioning: AbortController | null = null;
  #rereading: ReturnType<typeof setTimeout> | undefined;
  #polling: ReturnType<typeof setInterval>;

  constructor(readonly id: string) {
    void this.#start();
    // Without a stream of its own, the page asks.
    this.#polling = setInterval(() => {
      if (!document.hidden && !hasSlot.value && token.value) void this.#poll();
    }, 5000);
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#polling);
    clearTimeout(this.#rereading);
    this.#provisioning?.abort();
    this.stream.value?.stop();
    this.stream.value = null;
  }

  /** What is shown: its lists and rows say themselves when they change. */
  get fold(): Fold {
    return this.#fold.value;
  }

  get path(): string {
    return `/sessions/${this.id}`;
  }

  get isRunning(): boolean {
    const status = this.session.value?.status;
    return status === "running" || status === "pending";
  }

  async #start(): Promise<void> {
    try {
      const [session] = await Promise.all([get<Session>(this.path), this.readTurns()]);
      if (this.#stopped) return;
      this.session.value = session;
      await this.toEnd();
      if (this.#stopped) return;
      this.#known = session.turn_count;
      this.loaded.value = true;
      void this.readQueue();
      if (session.turn_count <= 1 && this.fold.root.rows.length === 0) void this.#watchStages();
      if (this.isRunning) this.follow();
    } catch (error) {
      if (!this.#stopped) this.error.value = error as ApiError;
    }
  }

  /** Tries again what failed at the start. */
  retry(): void {
    this.error.value = null;
    void this.#start();
  }

  async #page(query: string): Promise<EventsPage> {
    const limit = query.startsWith("tail") ? "" : `limit=${PAGE}&`;
    return get<EventsPage>(`${this.path}/events?${limit}deltas=false&${query}`);
  }

  /** Shows the end of the session, from which it can be followed. */
  async toEnd(): Promise<void> {
    const page = await this.#page(`tail=${PAGE}`);
    const fold = new Fold();
    fold.apply(page.data);
    batch(() => {
      this.#fold.value = fold;
      this.#last = page.data.at(-1)?.id ?? null;
      this.prev.value = page.prev ?? null;
      this.next.value = null;
      this.#settle();
    });
    for (let n = 0; this.prev.value && fold.root.rows.length < ENOUGH && n < 5; n++) await this.older();
  }

  #loading = false;
  /** Puts the page before what is here there, too. */
  async older(): Promise<void> {
    const before = this.prev.value;
    if (!before || this.#loading) return;
    this.#loading = true;
    this.busy.value = true;
    try {
      const fold = this.fold;
      const page = await this.#page(`before=${before}`);
      if (fold !== this.fold) return;
      const older = new Fold();
      older.apply(page.data);
      fold.prepend(older);
      this.#settle();
      this.prev.value = page.prev ?? null;
    } finally {
      this.#loading = false;
      this.busy.value = false;
    }
  }

  async newer(): Promise<void> {
    const after = this.next.value;
    if (!after || this.#loading) return;
    this.#loading = true;
    try {
      const fold = this.fold;
      const page = await this.#page(`after=${after}`);
      if (fold !== this.fold) return;
      this.#take(page.data);
      this.next.value = page.next ?? null;
      if (!page.next && this.isRunning) this.follow();
    } finally {
      this.#loading = false;
    }
  }

  /** Shows the session from a turn on; says whether it had to leave what was shown. */
  async toTurn(turn: number): Promise<boolean> {
    if (this.fold.root.rows.some((row) => row.kind === "turn" && row.number === turn)) return false;
    const page = await this.#page(`turn=${turn}`);
    const fold = new Fold();
    fold.apply(page.data);
    batch(() => {
      this.#fold.value = fold;
      this.#last = page.data.at(-1)?.id ?? null;
      this.prev.value = page.prev ?? null;
      this.next.value = page.next ?? null;
      this.stream.value?.stop();
      this.stream.value = null;
      this.#settle();
    });
    if (!page.next && this.isRunning) this.follow();
    return true;
  }

  /** Takes events that follow, each once. */
  #take(events: Event[]): void {
    const before = this.fold.root.rows.length;
    for (const event of events) {
      if (this.#last !== null && !follows(event.id, this.#last)) continue;
      this.#last = event.id;
      this.fold.event(event);
      if (event.type === "turn.started" || event.type === "turn.result" || event.type === "turn.input" || event.type.startsWith("permission") || event.type === "tool.request" || event.type === "tool.answer") {
        this.#reread(event.type === "turn.result" ? 60 : 30);
        if (event.type === "turn.started") this.stages.value = [];
      }
    }
    const more = this.fold.root.rows.length - before;
    if (more > 0) this.appended.value += more;
  }

  /** Follows what comes, from the last event that is here. */
  follow(): void {
    if (this.stream.value || this.#stopped || this.next.value) return;
    this.stream.value = new Stream(`${this.path}/events`, {
      since: () => this.#last,
      onMessage: (data) => this.#take([JSON.parse(data) as Event]),
      onOpen: () => this.#reread(0),
      onEnd: async () => {
        await this.reread();
        if (this.isRunning) return true;
        this.stream.value = null;
        return false;
      },
      onRefused: (error) => {
        this.stream.value = null;
        if (error instanceof ApiError && error.status === 404) this.error.value = error;
      },
    });
  }

  async #poll(): Promise<void> {
    try {
      await this.reread();
      if (this.next.value || asleep.value) return;
      const page = await this.#page(this.#last ? `after=${this.#last}` : `tail=${PAGE}`);
      this.#take(page.data);
    } catch {
      // The next time.
    }
  }

  #reread(soon: number): void {
    clearTimeout(this.#rereading);
    this.#rereading = setTimeout(() => {
      void this.reread().catch(() => undefined);
      // The list beside it does not say what was so some seconds ago.
      if (!sessionsStream.value) void pollSessions();
    }, soon);
  }

  /** Reads how the session and its turns stand. */
  async reread(): Promise<void> {
    const [session] = await Promise.all([get<Session>(this.path), this.readTurns(), this.readQueue()]);
    if (this.#stopped) return;
    this.session.value = session;
    this.#settle();
    // A turn may have begun and ended before it was seen to run: it is followed all the same, once.
    const missed = session.turn_count > this.#known && !this.fold.begun.has(session.turn_count);
    this.#known = Math.max(this.#known, session.turn_count);
    if ((this.isRunning || missed) && !this.stream.value) this.follow();
    if (session.status === "pending" && this.fold.root.rows.length === 0) void this.#watchStages();
  }

  /** What another page or another tab did to this session. */
  moved(session: Session): void {
    const known = this.session.value;
    if (!known || known.updated_at === session.updated_at) return;
    this.#reread(0);
  }

  async readTurns(): Promise<void> {
    const { data } = await get<Listing<Turn>>(`${this.path}/turns`);
    this.turns.value = new Map(data.map((turn) => [turn.turn_number, turn]));
  }

  async readQueue(): Promise<void> {
    const { data } = await get<Listing<QueuedPrompt>>(`${this.path}/queue`);
    this.queue.value = data;
  }

  /** Ends the rows of turns that have ended without saying so. */
  #settle(): void {
    if (this.next.value) return;
    const shown = new Set<number>();
    const ended = new Set<number>();
    for (const row of this.fold.root.rows) {
      if (row.turn !== null) shown.add(row.turn);
      if (row.kind === "end") ended.add(row.number);
    }
    for (const turn of this.turns.value.values()) {
      if (!turn.ended_at || !shown.has(turn.turn_number)) continue;
      if (ended.has(turn.turn_number)) this.fold.settle(turn.turn_number);
      else this.fold.end(turn.turn_number, null, Date.parse(turn.ended_at));
    }
  }

  /** Shows how a session's sandbox is made, from the native stream, until its first turn begins. */
  async #watchStages(): Promise<void> {
    if (this.#provisioning) return;
    const aborter = (this.#provisioning = new AbortController());
    const stages = new Map<string, Stage>();
    try {
      const reply = await request("GET", `${this.path}/stream`, { headers: { accept: "text/event-stream" }, signal: aborter.signal });
      if (!reply.ok || !reply.body) return;
      let over = false;
      const parser = createParser({
        onEvent: ({ data }) => {
          const event = JSON.parse(data) as Stage & { type: string };
          if (event.type === "stage") {
            stages.set(event.stage, event);
            this.stages.value = [...stages.values()];
          } else if (event.type !== "start") {
            over = true;
          }
        },
      });
      const decoder = new TextDecoder();
      const reader = reply.body.getReader();
      while (!over) {
        const { done, value } = await reader.read();
        if (done) break;
        parser.feed(decoder.decode(value, { stream: true }));
      }
      await this.reread();
    } catch {
      // Progress is not worth an error: the session says how it ended.
    } finally {
      aborter.abort();
      this.#provisioning = null;
    }
  }
}

/** Whether an id stands behind another: both are numbers with an index. */
export function follows(id: string, other: string): boolean {
  const [a = 0, i = 0] = id.split(".").map(Number);
  const [b = 0, j = 0] = other.split(".").map(Number);
  return a > b || (a === b && i > j);
}
