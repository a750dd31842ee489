// Asks the worker, and gives up on what takes too long.

import type { Done, Job, MarkdownDone, Node } from "./nodes";

declare const WORKER: string;

/** Milliseconds that one text may take. */
const PATIENCE = 500;
/** Markdown beyond this is shown as plain text. */
export const MARKDOWN = 200_000;

interface Waiting {
  job: Job;
  done: (done: Done | null) => void;
}

interface Policy {
  createScriptURL(url: string): unknown;
}
interface Factory {
  createPolicy(name: string, rules: { createScriptURL: (url: string) => string }): Policy;
}

let policy: Policy | null = null;
/** The worker's URL, as the page's rules for scripts ask for it. */
function scriptUrl(): string {
  const factory = (globalThis as unknown as { trustedTypes?: Factory }).trustedTypes;
  if (!factory) return WORKER;
  policy ??= factory.createPolicy("aod", {
    createScriptURL: (url) => {
      if (url !== WORKER) throw new TypeError("only the worker is a script");
      return url;
    },
  });
  return policy.createScriptURL(WORKER) as string;
}

let worker: Worker | null = null;
let running: Waiting | null = null;
let timer: ReturnType<typeof setTimeout> | undefined;
const queue: Waiting[] = [];
let ids = 0;

function next(): void {
  if (running) return;
  running = queue.shift() ?? null;
  if (!running) return;
  if (!worker) {
    worker = new Worker(scriptUrl());
    worker.onmessage = ({ data }: MessageEvent<Done>) => {
      if (data.id === running?.job.id) finish(data);
    };
    worker.onerror = () => giveUp();
    // Its first task waits until it is loaded.
    timer = setTimeout(giveUp, PATIENCE * 20);
  } else {
    timer = setTimeout(giveUp, PATIENCE);
  }
  worker.postMessage(running.job);
}

function giveUp(): void {
  worker?.terminate();
  worker = null;
  finish(null);
}

function finish(done: Done | null): void {
  clearTimeout(timer);
  const ended = running;
  running = null;
  ended?.done(done);
  next();
}

function ask(job: Job): Promise<Done | null> {
  return new Promise((done) => {
    queue.push({ job, done });
    next();
  });
}

/** The blocks of a Markdown text; nothing where it cannot be read in time. */
export async function markdown(text: string): Promise<MarkdownDone | null> {
  if (text.length > MARKDOWN) return null;
  return (await ask({ id: ++ids, kind: "markdown", text }))?.markdown ?? null;
}

/** Coloured code. */
export async function highlight(text: string, lang: string): Promise<Node[]> {
  return (await ask({ id: ++ids, kind: "highlight", text, lang }))?.nodes ?? [text];
}

/** A unified diff of two texts, without its head; nothing where that takes too long. */
export async function compare(before: string, after: string, path: string): Promise<string | null> {
  if (before.length + after.length > 400_000) return null;
  return (await ask({ id: ++ids, kind: "diff", before, after, path }))?.diff ?? null;
}
