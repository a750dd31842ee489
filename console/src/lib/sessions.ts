// The caller's sessions, as they change.

import { signal } from "@preact/signals";
import { get, request, token } from "./api";
import { Stream, hasSlot, asleep } from "./sse";
import { createParser } from "eventsource-parser";
import type { Listing, PendingQuestion, Session, SessionsEvent } from "./types";

export interface Listed {
  session: Session;
  questions: PendingQuestion[];
}

export const sessions = signal(new Map<string, Listed>());
export const sessionsReady = signal(false);
export const sessionsError = signal<unknown>(null);
export const sessionsStream = signal<Stream | null>(null);

let snapshot = new Map<string, Listed>();
let inSnapshot = false;
const SNAPSHOT = 200;

function told(event: SessionsEvent): void {
  if (event.type === "ready") {
    // What was deleted meanwhile is not told, but missing from a snapshot that had room for it.
    if (event.count < SNAPSHOT) sessions.value = snapshot;
    else sessions.value = new Map([...sessions.value, ...snapshot]);
    inSnapshot = false;
    sessionsReady.value = true;
    return;
  }
  if (event.type === "session") {
    const listed = { session: event.session, questions: event.questions };
    if (inSnapshot) snapshot.set(event.session.id, listed);
    else sessions.value = new Map(sessions.value).set(event.session.id, listed);
  } else if (event.type === "deleted") {
    const left = new Map(sessions.value);
    left.delete(event.session_id);
    snapshot.delete(event.session_id);
    sessions.value = left;
  }
}

function begin(): void {
  snapshot = new Map();
  inSnapshot = true;
}

/** Follows the list, or asks for it now and then while another stream is open: the page has one
    stream at a time. */
export function followSessions(how: "stream" | "poll" | "none"): void {
  clearInterval(timer);
  if (how !== "stream") {
    sessionsStream.value?.stop();
    sessionsStream.value = null;
    if (how === "poll") {
      if (!sessionsReady.value) void poll();
      timer = setInterval(() => void poll(), 10_000);
    }
    return;
  }
  timer = setInterval(() => {
    if (!hasSlot.value) void poll();
  }, 5000);
  if (!hasSlot.value) void poll();
  if (sessionsStream.value) return;
  sessionsStream.value = new Stream(`/sessions/stream?snapshot=${SNAPSHOT}`, {
    onOpen: () => {
      sessionsError.value = null;
      begin();
    },
    onMessage: (data) => told(JSON.parse(data) as SessionsEvent),
    onEnd: () => true,
    onRefused: (error) => {
      sessionsError.value = error;
      sessionsStream.value = null;
    },
  });
}
// A tab that has lost its stream asks at once.
hasSlot.subscribe((has) => {
  if (!has && sessionsStream.value) void poll();
});

let timer: ReturnType<typeof setInterval> | undefined;

export async function poll(): Promise<void> {
  if (document.hidden || asleep.value || !token.value) return;
  try {
    const reply = await request("GET", `/sessions/stream?follow=false&snapshot=${SNAPSHOT}`, { headers: { accept: "text/event-stream" } });
    if (!reply.ok) return;
    begin();
    const parser = createParser({ onEvent: ({ data }) => told(JSON.parse(data) as SessionsEvent) });
    parser.feed(await reply.text());
  } catch {
    // The next time.
  }
}

/** Sessions that a text is found in, beyond those that are here. */
export async function searchSessions(text: string): Promise<Session[]> {
  const { data } = await get<Listing<Session>>(`/sessions?limit=50&q=${encodeURIComponent(text)}`);
  return data;
}

/** How many sessions wait for an answer. */
export const asking = (): Listed[] =>
  [...sessions.value.values()].filter((it) => it.questions.length > 0 && (it.session.status === "running" || it.session.status === "pending"));

export const forgetSessions = (): void => {
  followSessions("none");
  sessions.value = new Map();
  sessionsReady.value = false;
};
