// Server-sent events by `fetch`: with the token in a header, a watchdog, and resumption by id.

import { signal } from "@preact/signals";
import { createParser } from "eventsource-parser";
import { failure, offlineSince, request } from "./api";

/** A heartbeat comes every 15 s: after three of them are missing, the connection is dead. */
const SILENCE = 45_000;
/** Streams are closed where the page has been hidden for so long. */
const HIDDEN = 60_000;

export interface Following {
  /** Where to resume. Asked for at each connection. */
  since?: () => string | null;
  onMessage: (data: string) => void;
  /** A connection is there, before its first message. */
  onOpen?: () => void;
  /** The server ended the stream: go on with another connection? */
  onEnd?: () => boolean | Promise<boolean>;
  /** The server refused it. */
  onRefused?: (error: Error) => void;
}

/** Whether this tab may have a stream: a browser gives an origin six connections of HTTP/1.1, for
    all tabs together. */
export const hasSlot = signal(true);
const SLOTS = 4;

let slot: Promise<unknown> | null = null;
/** Takes one of the slots that tabs share, if need be from another tab, which then polls. */
export function takeSlot(): void {
  if (!("locks" in navigator) || slot) return;
  const hold = (name: string, options: LockOptions): Promise<boolean> =>
    new Promise((taken) => {
      const held = navigator.locks.request(name, options, (lock) => {
        taken(lock !== null);
        if (!lock) return undefined;
        hasSlot.value = true;
        return new Promise(() => undefined);
      });
      // It was taken away by a tab that is looked at.
      held.catch(() => {
        slot = null;
        hasSlot.value = false;
      });
    });
  slot = (async () => {
    for (let n = 0; n < SLOTS; n++) {
      if (await hold(`aod-stream-${n}`, { ifAvailable: true })) return;
    }
    await hold(`aod-stream-${Math.floor(Math.random() * SLOTS)}`, { steal: true });
  })();
}

let hiddenTimer: ReturnType<typeof setTimeout> | undefined;
/** Whether the page has been hidden for long. */
export const asleep = signal(false);
document.addEventListener("visibilitychange", () => {
  clearTimeout(hiddenTimer);
  if (document.hidden) {
    hiddenTimer = setTimeout(() => (asleep.value = true), HIDDEN);
  } else {
    asleep.value = false;
    takeSlot();
  }
});

/** A stream that is kept up until it is stopped. */
export class Stream {
  /** When the last byte came. */
  readonly lastByte = signal(0);
  /** Since when there is no connection, though there should be one. */
  readonly downSince = signal<number | null>(null);
  #stopped = false;
  #connection: AbortController | null = null;
  #wake: (() => void) | null = null;
  #cleanup: (() => void)[] = [];

  constructor(
    readonly path: string,
    readonly how: Following,
  ) {
    const nudge = () => {
      if (document.hidden && !asleep.value) return;
      // Machines that slept have dead connections that look alive.
      if (performance.now() - this.lastByte.value > 20_000) this.#connection?.abort();
      this.#wake?.();
    };
    for (const name of ["online", "focus"]) {
      addEventListener(name, nudge);
      this.#cleanup.push(() => removeEventListener(name, nudge));
    }
    document.addEventListener("visibilitychange", nudge);
    this.#cleanup.push(() => document.removeEventListener("visibilitychange", nudge));
    this.#cleanup.push(
      asleep.subscribe((is) => (is ? this.#connection?.abort() : this.#wake?.())),
      hasSlot.subscribe((has) => (has ? this.#wake?.() : this.#connection?.abort())),
    );
    void this.#run();
  }

  stop(): void {
    this.#stopped = true;
    this.#connection?.abort();
    this.#wake?.();
    for (const clean of this.#cleanup) clean();
  }

  async #sleep(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = null;
  }

  async #run(): Promise<void> {
    let failures = 0;
    while (!this.#stopped) {
      if (asleep.value || !hasSlot.value) {
        this.downSince.value = null;
        await this.#sleep(600_000);
        continue;
      }
      const ended = await this.#connect();
      if (this.#stopped) return;
      if (ended === "refused") return;
      if (ended === "done") {
        const more = (await this.how.onEnd?.()) ?? true;
        if (!more) return this.stop();
        failures = 0;
        await this.#sleep(100);
        continue;
      }
      if (ended === "had") failures = 0;
      this.downSince.value ??= Date.now();
      await this.#sleep(Math.min(5000, 200 * 2 ** failures++));
    }
  }

  async #connect(): Promise<"refused" | "done" | "had" | "failed"> {
    const connection = (this.#connection = new AbortController());
    let had = false;
    let watchdog: ReturnType<typeof setTimeout> | undefined;
    const alive = () => {
      this.lastByte.value = performance.now();
      clearTimeout(watchdog);
      watchdog = setTimeout(() => connection.abort(), SILENCE);
    };
    try {
      alive();
      const since = this.how.since?.();
      const headers: Record<string, string> = { accept: "text/event-stream" };
      if (since) headers["last-event-id"] = since;
      const reply = await request("GET", this.path, { headers, signal: connection.signal });
      if (!reply.ok || !reply.body) {
        const error = await failure(reply);
        if (reply.status >= 500 || reply.status === 429) return "failed";
        this.how.onRefused?.(error);
        return "refused";
      }
      this.downSince.value = null;
      this.how.onOpen?.();
      const parser = createParser({
        onEvent: (message) => {
          had = true;
          this.how.onMessage(message.data);
        },
      });
      const decoder = new TextDecoder();
      const reader = reply.body.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return "done";
        alive();
        parser.feed(decoder.decode(value, { stream: true }));
      }
    } catch (error) {
      if (!connection.signal.aborted) {
        if (!(error instanceof TypeError) && (error as { status?: number }).status !== 0) console.error(error);
        offlineSince.value ??= Date.now();
      }
      return had ? "had" : "failed";
    } finally {
      clearTimeout(watchdog);
      connection.abort();
    }
  }
}
