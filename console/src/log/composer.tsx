// The prompt: written while anything runs, and kept until the server has it.

import { type Signal, signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { ApiError, call, failure, get, offlineSince, post, randomKey, refused, request } from "../lib/api";
import { bytes } from "../lib/format";
import type { Limits, Runtime, RuntimeOption } from "../lib/types";
import { ErrorNote, Menu, attempt, toast } from "../ui/basics";
import { Icon } from "../ui/icons";
import { Exact } from "../ui/text";
import type { SessionLog } from "./session";

const IMAGES = ["image/png", "image/jpeg", "image/gif", "image/webp"];
/** What may come along in the request itself; larger files go to the workspace first. */
const INLINE = 1_000_000;

export interface Attached {
  id: number;
  file: File;
  url: string | null;
}
let attachedIds = 0;

interface Draft {
  text: string;
  /** The key of the last try, and what was sent with it: a retry of the same is the same prompt. */
  key?: string;
  sent?: string;
}

export class Composing {
  readonly text: Signal<string>;
  readonly attached = signal<Attached[]>([]);
  readonly settings = signal<Record<string, unknown>>({});
  readonly limits = signal<Limits>({});
  readonly sending = signal(false);
  readonly error = signal<unknown>(null);
  #draft: Draft;

  constructor(readonly name: string) {
    let draft: Draft = { text: "" };
    try {
      draft = JSON.parse(sessionStorage.getItem(this.#store) ?? "") as Draft;
    } catch {
      // There is none.
    }
    this.#draft = draft;
    this.text = signal(draft.text);
  }

  get #store(): string {
    return `aod.draft.${this.name}`;
  }

  write(text: string): void {
    this.text.value = text;
    this.#draft.text = text;
    this.#save();
  }

  #save(): void {
    try {
      sessionStorage.setItem(this.#store, JSON.stringify(this.#draft));
    } catch {
      // A draft that is too large is kept by the page alone.
    }
  }

  attach(files: Iterable<File>): void {
    const added = [...files].map((file) => ({ id: ++attachedIds, file, url: IMAGES.includes(file.type) ? URL.createObjectURL(file) : null }));
    this.attached.value = [...this.attached.value, ...added].slice(0, 31);
  }

  detach(id: number): void {
    const gone = this.attached.value.find((it) => it.id === id);
    if (gone?.url) URL.revokeObjectURL(gone.url);
    this.attached.value = this.attached.value.filter((it) => it.id !== id);
  }

  /** The prompt as the API takes it. Large files go to the session's workspace on the way. */
  async blocks(session: string | null): Promise<unknown> {
    const text = this.text.value;
    if (this.attached.value.length === 0) return text;
    const blocks: unknown[] = text.trim() ? [{ type: "text", text }] : [];
    let inline = text.length;
    for (const { file } of this.attached.value) {
      const small = inline + file.size * 1.4 < INLINE * 1.4;
      if (!small && session) {
        const path = `uploads/${file.name.replace(/[/\\\0]/g, "_")}`;
        const reply = await request("PUT", `/sessions/${session}/files/${path.split("/").map(encodeURIComponent).join("/")}?unpack=false`, { raw: file, headers: { "content-type": "application/octet-stream" } });
        if (!reply.ok) throw await failure(reply);
        blocks.push({ type: "file", path });
        continue;
      }
      if (!small) throw new Error(`${file.name} (${bytes(file.size)}) is too large for a first prompt: start the session and upload it there.`);
      inline += file.size * 1.4;
      const data = await base64(file);
      if (IMAGES.includes(file.type)) blocks.push({ type: "image", media_type: file.type, data });
      else blocks.push({ type: "file", name: file.name || "file", data });
    }
    return blocks;
  }

  /** Sends something once, however often it is tried. */
  async send<T>(path: string, body: Record<string, unknown>): Promise<T> {
    const sent = JSON.stringify(body);
    const digest = `${path} ${sent.length} ${hash(sent)}`;
    if (this.#draft.sent !== digest || !this.#draft.key) {
      this.#draft.key = randomKey();
      this.#draft.sent = digest;
      this.#save();
    }
    const reply = await call<T>("POST", path, { body, headers: { "idempotency-key": this.#draft.key } });
    this.clear();
    return reply;
  }

  clear(): void {
    for (const it of this.attached.value) if (it.url) URL.revokeObjectURL(it.url);
    this.attached.value = [];
    this.#draft = { text: "" };
    this.text.value = "";
    this.error.value = null;
    sessionStorage.removeItem(this.#store);
  }
}

function hash(text: string): number {
  let h = 0;
  for (let i = 0; i < text.length; i++) h = (Math.imul(h, 31) + text.charCodeAt(i)) | 0;
  return h;
}

async function base64(file: File): Promise<string> {
  const data = new Uint8Array(await file.arrayBuffer());
  let text = "";
  for (let i = 0; i < data.length; i += 0x8000) text += String.fromCharCode(...data.subarray(i, i + 0x8000));
  return btoa(text);
}

const composings = new Map<string, Composing>();
export function composing(name: string): Composing {
  const known = composings.get(name) ?? new Composing(name);
  composings.set(name, known);
  return known;
}
/** Forgets all drafts, as at a logout. */
export const forgetDrafts = (): void => composings.clear();

const isTouch = matchMedia("(pointer: coarse)");
/** Whether a key press belongs to an input method that is at work. */
export const composes = (event: KeyboardEvent): boolean => event.isComposing || event.keyCode === 229;

/** The field itself, with what is attached. */
export function PromptField({ draft, placeholder, onSend, autofocus = false, label = "Prompt" }: {
  draft: Composing; placeholder: string; onSend: (steer: boolean) => void; autofocus?: boolean; label?: string;
}) {
  const field = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    if (autofocus && !isTouch.matches) field.current?.focus();
  }, []);
  const text = draft.text.value;
  useEffect(() => {
    const element = field.current;
    if (!element || CSS.supports("field-sizing", "content")) return;
    element.style.height = "auto";
    element.style.height = `${element.scrollHeight}px`;
  }, [text]);
  return (
    <div class="prompt-field">
      {draft.attached.value.length > 0 ? (
        <div class="chips">
          {draft.attached.value.map((it) => (
            <span class="chip" key={it.id}>
              {it.url ? <img src={it.url} alt="" /> : <Icon name="file" />}
              <Exact text={it.file.name || "image"} /><span class="dim">{bytes(it.file.size)}</span>
              <button type="button" class="quiet icon-only" aria-label={`Remove ${it.file.name || "the image"}`} onClick={() => draft.detach(it.id)}><Icon name="cross" /></button>
            </span>
          ))}
        </div>
      ) : null}
      <textarea
        ref={field}
        rows={2}
        value={text}
        aria-label={label}
        placeholder={placeholder}
        enterkeyhint={isTouch.matches ? "enter" : "send"}
        onInput={(event) => draft.write(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key !== "Enter" || composes(event) || event.shiftKey || event.altKey) return;
          const steer = event.ctrlKey || event.metaKey;
          if (isTouch.matches && !steer) return;
          event.preventDefault();
          onSend(steer);
        }}
        onPaste={(event) => {
          const files = [...(event.clipboardData?.files ?? [])];
          if (files.length === 0) return;
          event.preventDefault();
          draft.attach(files.map((file) => (file.name && file.name !== "image.png" ? file : new File([file], `pasted-${Date.now()}.${file.type.split("/")[1] ?? "bin"}`, { type: file.type }))));
        }}
      />
    </div>
  );
}

export function AttachButton({ draft }: { draft: Composing }) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <button type="button" class="quiet icon-only" aria-label="Attach files" title="Attach files" onClick={() => input.current?.click()}><Icon name="clip" /></button>
      <input ref={input} type="file" multiple hidden aria-hidden="true" tabIndex={-1} onChange={(event) => { draft.attach(event.currentTarget.files ?? []); event.currentTarget.value = ""; }} />
    </>
  );
}

/** Whether a runtime can be told something while it works. */
export const canSteer = (runtime: Runtime | undefined): boolean =>
  runtime?.capabilities.some((it) => it.name === "inject" && (it.values ?? []).includes("steer")) ?? false;

export function Composer({ log, runtime }: { log: SessionLog; runtime: Runtime | undefined }) {
  const draft = composing(log.id);
  const session = log.session.value;
  if (!session) return null;
  const running = log.isRunning;
  const steers = canSteer(runtime) && session.status === "running";
  const over = session.status === "terminated" || (session.status === "failed" && !session.resumable);
  const send = async (steer: boolean) => {
    if (draft.sending.value || (!draft.text.value.trim() && draft.attached.value.length === 0)) return;
    if (steer && running && !steers) {
      toast("This runtime cannot be told anything while it works: Enter puts the prompt in the queue.", true);
      return;
    }
    draft.sending.value = true;
    draft.error.value = null;
    try {
      const prompt = await draft.blocks(log.id);
      const body: Record<string, unknown> = { prompt };
      if (steer && running) body.when_busy = "steer";
      else body.when_busy = "queue";
      if (!(steer && running)) {
        if (Object.keys(draft.settings.value).length > 0) body.settings = draft.settings.value;
        if (Object.keys(draft.limits.value).length > 0) body.limits = draft.limits.value;
      }
      await draft.send(`${log.path}/prompt`, body);
      await log.reread();
    } catch (error) {
      draft.error.value = error;
    } finally {
      draft.sending.value = false;
    }
  };
  const interrupt = () => void attempt(async () => { await post(`${log.path}/interrupt`); await log.reread(); });
  if (over) {
    return (
      <div class="composer over">
        <p class="dim">{session.status === "terminated" ? "This session was terminated and takes no more prompts." : "This session's sandbox was never ready, and it takes no more prompts."} <a href="#/new">Start another</a></p>
      </div>
    );
  }
  return (
    <div
      class="composer"
      onDragOver={(event) => event.preventDefault()}
      onDrop={(event) => { event.preventDefault(); draft.attach(event.dataTransfer?.files ?? []); }}
    >
      <QueueView log={log} draft={draft} />
      <ErrorNote error={refused.value ? null : draft.error.value} retry={draft.error.value instanceof ApiError && draft.error.value.status !== 409 ? () => void send(false) : undefined} />
      <div class="composer-box">
        <PromptField draft={draft} onSend={(steer) => void send(steer)} placeholder={running ? (steers ? "Enter queues, Ctrl+Enter tells the agent now" : "Enter puts it in the queue") : "Ask for something"} />
        <div class="composer-tools">
          <AttachButton draft={draft} />
          {runtime ? <TurnOptions draft={draft} runtime={runtime} /> : null}
          <span class="grow" />
          {offlineSince.value ? <span class="dim tiny">Not connected: it is kept here</span> : null}
          {running && steers && draft.text.value.trim() ? <button type="button" class="small" disabled={draft.sending.value} onClick={() => void send(true)}>Tell now</button> : null}
          {running ? <button type="button" class="icon-only" aria-label="Interrupt" title="Interrupt (Ctrl+.)" onClick={interrupt}><Icon name="stop" /></button> : null}
          <button type="button" class="primary icon-only" aria-label={running ? "Put in the queue" : "Send"} title={running ? "Put in the queue" : "Send"} disabled={draft.sending.value || (!draft.text.value.trim() && draft.attached.value.length === 0)} onClick={() => void send(false)}>
            {draft.sending.value ? <span class="spin" /> : <Icon name="send" />}
          </button>
        </div>
      </div>
    </div>
  );
}

/** Prompts that wait, in order; each can be taken out or taken back. */
function QueueView({ log, draft }: { log: SessionLog; draft: Composing }) {
  const queue = log.queue.value;
  if (queue.length === 0) return null;
  const remove = (id: string) => attempt(async () => {
    await call("DELETE", `${log.path}/queue/${id}`);
    await log.readQueue();
  });
  return (
    <div class="queue" role="region" aria-label="Prompts that wait">
      <div class="dim tiny">Next, in this order</div>
      <ol>
        {queue.map((it) => (
          <li key={it.id}>
            <span class="grow clip"><Exact text={it.prompt.slice(0, 300)} /></span>
            <button type="button" class="quiet icon-only" aria-label={`Edit prompt ${it.position}`} title="Back to the prompt" onClick={async () => {
              if (await remove(it.id).then(() => true)) draft.write(draft.text.value ? `${draft.text.value}\n\n${it.prompt}` : it.prompt);
            }}><Icon name="edit" /></button>
            <button type="button" class="quiet icon-only" aria-label={`Remove prompt ${it.position}`} title="Remove" onClick={() => void remove(it.id)}><Icon name="cross" /></button>
          </li>
        ))}
      </ol>
    </div>
  );
}

/** Settings of the runtime and limits, for the next prompt. */
export function TurnOptions({ draft, runtime }: { draft: Composing; runtime: Runtime }) {
  const set = Object.keys(draft.settings.value).length + Object.keys(draft.limits.value).length;
  return (
    <Menu label={set > 0 ? `Settings and limits (${set} set)` : "Settings and limits"} icon="tool">
      {() => (
        <div class="options">
          {runtime.options.map((option) => (
            <OptionField key={option.id} option={option} value={draft.settings.value[option.id]} onChange={(value) => {
              const { [option.id]: _, ...rest } = draft.settings.value;
              draft.settings.value = value === undefined ? rest : { ...rest, [option.id]: value };
            }} />
          ))}
          <LimitFields value={draft.limits.value} onChange={(limits) => (draft.limits.value = limits)} />
        </div>
      )}
    </Menu>
  );
}

export function OptionField({ option, value, onChange }: { option: RuntimeOption; value: unknown; onChange: (value: unknown) => void }) {
  const schema = option.schema;
  const words = (schema.enum as unknown[] | undefined) ?? (schema.type === "boolean" ? [true, false] : undefined);
  return (
    <label class="field">
      <span class="label">{option.label}</span>
      {words ? (
        <select value={value === undefined ? "" : JSON.stringify(value)} onChange={(event) => onChange(event.currentTarget.value === "" ? undefined : JSON.parse(event.currentTarget.value))}>
          <option value="">default{option.default === null ? "" : ` (${String(option.default)})`}</option>
          {words.map((it) => <option key={String(it)} value={JSON.stringify(it)}>{String(it)}</option>)}
        </select>
      ) : (
        <input value={value === undefined ? "" : String(value)} placeholder={option.default === null ? "default" : String(option.default)} onInput={(event) => {
          const text = event.currentTarget.value;
          const number = schema.type === "integer" || schema.type === "number";
          onChange(text === "" ? undefined : number && text.trim() !== "" && !Number.isNaN(Number(text)) ? Number(text) : text);
        }} />
      )}
      <span class="hint">{option.description}</span>
    </label>
  );
}

const LIMITS: [keyof Limits, string, string][] = [
  ["max_rounds", "Most requests to the model", "1"],
  ["max_output_tokens", "Most tokens written", "1"],
  ["max_cost_usd", "Most US dollars", "any"],
];
export function LimitFields({ value, onChange, errors }: { value: Limits; onChange: (limits: Limits) => void; errors?: Map<string, string> }) {
  return (
    <>
      {LIMITS.map(([name, label, step]) => (
        <label class="field" key={name}>
          <span class="label">{label}</span>
          <input type="number" min="0" step={step} placeholder="no limit" value={value[name] ?? ""} onInput={(event) => {
            const { [name]: _, ...rest } = value;
            const text = event.currentTarget.value;
            onChange(text === "" ? rest : { ...rest, [name]: Number(text) });
          }} />
          {errors?.get(`limits.${name}`) ? <span class="problem">{errors.get(`limits.${name}`)}</span> : null}
        </label>
      ))}
    </>
  );
}

/** The runtimes, read once and again when a page asks. */
export const runtimes = signal<Runtime[]>([]);
export async function readRuntimes(): Promise<Runtime[]> {
  const { data } = await get<{ data: Runtime[] }>("/runtimes");
  runtimes.value = data;
  return data;
}
