// Finding in the conversation: the browser's own search does not see rows that are out of sight.

import { signal } from "@preact/signals";
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { attempt } from "../ui/basics";
import { Icon } from "../ui/icons";
import type { Row } from "./fold";
import type { ListHandle } from "./list";
import type { SessionLog } from "./session";

export const finding = signal(false);

function textOf(row: Row, log: SessionLog): string {
  switch (row.kind) {
    case "text":
    case "thought":
    case "input":
      return row.text;
    case "turn":
      return log.turns.value.get(row.number)?.prompt ?? "";
    case "tool":
      return `${row.title ?? ""} ${row.call?.name ?? ""} ${JSON.stringify(row.call?.input) ?? ""} ${row.output}`;
    case "group":
      return row.tools.map((it) => textOf(it, log)).join(" ");
    case "notice":
      return row.items.map((it) => it.text).join(" ");
    case "ask":
      return row.request.title;
    case "file":
      return row.path;
    case "seen":
      return row.files.map((it) => it.path).join(" ");
    default:
      return "";
  }
}

export function FindBar({ log, list }: { log: SessionLog; list: { current: ListHandle | null } }) {
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const field = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => field.current?.focus(), []);
  const { root } = log.fold;
  const words = text.toLowerCase();
  const rows = root.changed.value;
  const hits = useMemo(() => (words.length < 2 ? [] : root.rows.filter((row) => textOf(row, log).toLowerCase().includes(words))), [words, root, rows]);
  const show = (n: number) => {
    if (hits.length === 0) return;
    const next = ((n % hits.length) + hits.length) % hits.length;
    setAt(next);
    const row = hits[next];
    if (row) list.current?.toKey(row.key);
  };
  const close = () => (finding.value = false);
  return (
    <div class="find-bar" role="search" onKeyDown={(event) => {
      if (event.key === "Escape") { event.stopPropagation(); close(); }
    }}>
      <Icon name="search" />
      <input ref={field} type="search" class="grow" aria-label="Find in the conversation" placeholder="Find in the conversation" value={text} onInput={(event) => { setText(event.currentTarget.value); setAt(-1); }} onKeyDown={(event) => {
        if (event.key === "Enter" && !event.isComposing) { event.preventDefault(); show(event.shiftKey ? at - 1 : at + 1); }
      }} />
      <span class="dim tiny" role="status">{words.length < 2 ? "" : hits.length === 0 ? "none" : `${Math.max(at, 0) + 1} of ${hits.length}`}</span>
      <button type="button" class="quiet icon-only" aria-label="Previous" onClick={() => show(at - 1)}><Icon name="up" /></button>
      <button type="button" class="quiet icon-only" aria-label="Next" onClick={() => show(at + 1)}><Icon name="down" /></button>
      {log.prev.value ? <button type="button" class="quiet small" onClick={() => void attempt(async () => { for (let n = 0; n < 10 && log.prev.value; n++) await log.older(); })}>Look further back</button> : null}
      <button type="button" class="quiet icon-only" aria-label="Close" onClick={close}><Icon name="cross" /></button>
    </div>
  );
}
