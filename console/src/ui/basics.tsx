// The small parts that all pages are made of.

import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { ApiError } from "../lib/api";
import type { Session, Status } from "../lib/types";
import { Icon } from "./icons";

/** What is said once to those who listen: beginnings, ends and questions. */
export const announced = signal("");
export const announce = (text: string): void => {
  announced.value = text;
};

/** A short message at the page's foot. */
export const toasts = signal<{ id: number; text: string; bad: boolean }[]>([]);
let toastIds = 0;
export function toast(text: string, bad = false): void {
  const id = ++toastIds;
  toasts.value = [...toasts.value.slice(-3), { id, text, bad }];
  announce(text);
  setTimeout(() => (toasts.value = toasts.value.filter((it) => it.id !== id)), bad ? 10_000 : 4000);
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Does something that may fail, and says so where it does. */
export async function attempt<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    toast(messageOf(error), true);
    return undefined;
  }
}

export function CopyButton({ text, label = "Copy" }: { text: string | (() => string); label?: string }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    const value = typeof text === "string" ? text : text();
    try {
      await navigator.clipboard.writeText(value);
      setDone(true);
      setTimeout(() => setDone(false), 1500);
    } catch {
      toast("The browser lets this page copy on https and on localhost alone: select the text and copy it.", true);
    }
  };
  return (
    <button type="button" class="quiet small copy" onClick={copy} aria-label={label} title={label}>
      <Icon name={done ? "check" : "copy"} />
      {done ? <span>Copied</span> : null}
    </button>
  );
}

/** What to do about an error, where the page knows. */
function nextStep(error: ApiError): ComponentChildren {
  if (error.status === 429 && error.body.limit !== undefined) {
    return <>Active: {String(error.body.active ?? "?")} of {String(error.body.limit)}. End one, or raise <code>limits.sessions_per_user</code>.</>;
  }
  if (error.status === 429) return <>Wait a little and send it again.</>;
  if (error.status === 409) return <>Reload to see how it stands now. What you typed is kept.</>;
  if (error.status === 404) return <>It may have been deleted, or belong to another user.</>;
  if (error.status === 413) return <>Send less, or upload large files on the Files tab.</>;
  if (error.status >= 500) return <>The server's log has the cause under the request's id.</>;
  return null;
}

export function ErrorNote({ error, retry, again = "Try again" }: { error: unknown; retry?: () => void; again?: string }) {
  if (!error) return null;
  const api = error instanceof ApiError ? error : null;
  return (
    <div class="note bad" role="alert">
      <Icon name="warn" />
      <div class="grow">
        {api && typeof api.detail !== "string" ? (
          <ul class="plain">{api.detail.map((it) => <li key={it.loc.join(".")}><code>{it.loc.slice(1).join(".") || "body"}</code>: {it.msg}</li>)}</ul>
        ) : (
          <div>{messageOf(error)}</div>
        )}
        {api ? <div class="dim">{nextStep(api)}</div> : null}
        {api?.requestId ? <div class="dim tiny">Request <code>{api.requestId}</code> <CopyButton text={api.requestId} label="Copy the request's id" /></div> : null}
      </div>
      {retry ? <button type="button" class="small" onClick={retry}>{again}</button> : null}
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return <div class="empty"><h2>{title}</h2>{children}</div>;
}

export const Loading = ({ what = "Loading" }: { what?: string }) => <div class="loading" role="status"><span class="spin" />{what}…</div>;

const WORDS: Record<Status, string> = {
  pending: "Starting", running: "Running", completed: "Ready", failed: "Failed", terminated: "Terminated",
};
/** A session's state in a word. */
export function stateWord(session: Session, questions = 0): string {
  if (questions > 0 && (session.status === "running" || session.status === "pending")) return "Needs you";
  if (session.status === "pending" && session.queue_position) return `Waiting, ${session.queue_position} in line`;
  return WORDS[session.status];
}
export function State({ session, questions = 0 }: { session: Session; questions?: number }) {
  const asks = questions > 0 && (session.status === "running" || session.status === "pending");
  return <span class={`state ${asks ? "asks" : session.status}`}><span class="dot" />{stateWord(session, questions)}</span>;
}

export const titleOf = (session: Session): string => session.title || `Session ${session.id.slice(0, 8)}`;

/** A modal dialog; Escape and a press outside of it close it. */
export function Dialog({ title, onClose, children, wide = false }: { title: string; onClose: () => void; children: ComponentChildren; wide?: boolean }) {
  const ref = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    const dialog = ref.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  return (
    <dialog
      ref={ref}
      class={wide ? "wide" : ""}
      aria-label={title}
      onCancel={(event) => { event.preventDefault(); onClose(); }}
      onMouseDown={(event) => { if (event.target === ref.current) onClose(); }}
    >
      <div class="dialog">
        <header><h2>{title}</h2><button type="button" class="quiet icon-only" aria-label="Close" onClick={onClose}><Icon name="cross" /></button></header>
        {children}
      </div>
    </dialog>
  );
}

/** Asks before what cannot be undone. */
export function Confirm({ title, text, action, onYes, onNo }: { title: string; text: string; action: string; onYes: () => void; onNo: () => void }) {
  return (
    <Dialog title={title} onClose={onNo}>
      <p>{text}</p>
      <footer><button type="button" onClick={onNo}>Cancel</button><button type="button" class="danger" onClick={onYes} autofocus>{action}</button></footer>
    </Dialog>
  );
}

/** A button that opens a list of actions. */
export function Menu({ label, icon = "more", children }: { label: string; icon?: string; children: (close: () => void) => ComponentChildren }) {
  const [open, setOpen] = useState(false);
  const ref = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!open) return;
    const away = (event: Event) => {
      if (!ref.current?.contains(event.target as Node)) setOpen(false);
    };
    document.addEventListener("pointerdown", away);
    ref.current?.querySelector<HTMLElement>(".menu button, .menu a")?.focus();
    return () => document.removeEventListener("pointerdown", away);
  }, [open]);
  const keys = (event: KeyboardEvent) => {
    if (!open) return;
    const items = [...(ref.current?.querySelectorAll<HTMLElement>(".menu button:not(:disabled), .menu a") ?? [])];
    const at = items.indexOf(document.activeElement as HTMLElement);
    if (event.key === "ArrowDown") items[(at + 1) % items.length]?.focus();
    else if (event.key === "ArrowUp") items[(at - 1 + items.length) % items.length]?.focus();
    else if (event.key === "Escape") {
      setOpen(false);
      ref.current?.querySelector<HTMLElement>("button")?.focus();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <div class="menu-holder" ref={ref} onKeyDown={keys}>
      <button type="button" class="quiet icon-only" aria-label={label} title={label} aria-haspopup="true" aria-expanded={open} onClick={() => setOpen(!open)}><Icon name={icon} /></button>
      {open ? <div class="menu">{children(() => setOpen(false))}</div> : null}
    </div>
  );
}

/** A labelled field with its hint and what the server says is wrong with it. */
export function Field({ label, hint, error, children }: { label: string; hint?: ComponentChildren; error?: string; children: ComponentChildren }) {
  return (
    <label class={`field ${error ? "wrong" : ""}`}>
      <span class="label">{label}</span>
      {children}
      {error ? <span class="problem" role="alert">{error}</span> : hint ? <span class="hint">{hint}</span> : null}
    </label>
  );
}

export function PageHead({ title, children, hint }: { title: string; hint?: ComponentChildren; children?: ComponentChildren }) {
  return (
    <header class="page-head">
      <div class="grow"><h1>{title}</h1>{hint ? <p class="dim">{hint}</p> : null}</div>
      {children}
    </header>
  );
}
