// Keys: the palette of commands, single keys, and the list of them.

import { signal } from "@preact/signals";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { logOut } from "../lib/api";
import { go } from "../lib/router";
import { asking, sessions } from "../lib/sessions";
import { revealed } from "../lib/text";
import { finding } from "../log/find";
import { goingBack } from "../log/fork";
import { toggleAll } from "../log/rows";
import { current, openAsks, sideOpen } from "../pages/session";
import { Dialog, titleOf } from "./basics";
import { cycleTheme } from "./theme";

export const paletteShown = signal(false);
export const keysShown = signal(false);

const SINGLE = "aod.single-keys";
export const singleKeys = signal(localStorage.getItem(SINGLE) !== "off");

const KEYS: [string, string][] = [
  ["Ctrl+K", "Commands and sessions"],
  ["?", "This list"],
  ["/", "Search sessions"],
  ["Ctrl+F", "Find in the conversation"],
  ["j, k", "Next and previous turn"],
  ["o", "Unfold or fold all"],
  ["a", "Next question"],
  ["i", "To the prompt"],
  ["Ctrl+.", "Interrupt"],
  ["Esc", "Close what is open; never interrupts"],
  ["Enter", "Send; queue while the agent works"],
  ["Ctrl+Enter", "Tell the agent while it works"],
  ["Shift+Enter", "New line"],
];

const isField = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName));

function turn(step: number): void {
  const shown = current.value;
  if (!shown) return;
  const rows = shown.log.fold.root.rows.filter((row) => row.kind === "turn");
  const top = shown.list.current?.scroller?.getBoundingClientRect().top ?? 0;
  const visible = [...document.querySelectorAll<HTMLElement>(".log [data-turn]")].find((it) => it.getBoundingClientRect().bottom > top + 4);
  let at = rows.findIndex((row) => row.kind === "turn" && String(row.number) === visible?.dataset.turn);
  if (at < 0) at = rows.length;
  else if (step > 0 && visible && visible.getBoundingClientRect().top > top + 60) at--;
  const row = rows[Math.min(rows.length - 1, Math.max(0, at + step))];
  if (row) shown.list.current?.toKey(row.key);
}

export function nextQuestion(): void {
  const here = current.value && openAsks(current.value.log)[0];
  const button = document.querySelector<HTMLElement>(".questions button:not(:disabled), .questions input");
  if (here && button) button.focus();
  else {
    const [first] = asking();
    if (first) go(`/s/${first.session.id}`);
  }
}

export function initKeys(): void {
  addEventListener("keydown", (event) => {
    if (event.isComposing || event.defaultPrevented) return;
    const command = event.ctrlKey || event.metaKey;
    if (command && !event.shiftKey && event.key.toLowerCase() === "k") {
      event.preventDefault();
      paletteShown.value = !paletteShown.value;
    } else if (command && event.key === ".") {
      event.preventDefault();
      if (current.value?.log.isRunning) current.value.interrupt();
    } else if (command && event.key.toLowerCase() === "f" && current.value) {
      event.preventDefault();
      finding.value = true;
      document.querySelector<HTMLElement>(".find-bar input")?.focus();
    } else if (event.key === "Escape") {
      if (finding.value) finding.value = false;
      else if (sideOpen.value && matchMedia("(max-width: 1100px)").matches) sideOpen.value = false;
    } else if (!command && !event.altKey && singleKeys.value && !isField(event.target) && !document.querySelector("dialog[open]")) {
      const actions: Record<string, () => void> = {
        "?": () => (keysShown.value = true),
        "/": () => {
          const field = [...document.querySelectorAll<HTMLElement>("[data-search]")].find((it) => it.offsetParent !== null);
          if (field) field.focus();
          else paletteShown.value = true;
        },
        j: () => turn(1),
        k: () => turn(-1),
        o: toggleAll,
        a: nextQuestion,
        i: () => document.querySelector<HTMLElement>(".prompt-field textarea")?.focus(),
      };
      const action = actions[event.key];
      if (!action) return;
      event.preventDefault();
      action();
    }
  });
}

export function KeyList() {
  const close = () => (keysShown.value = false);
  return (
    <Dialog title="Keys" onClose={close}>
      <div class="dialog-body">
        <dl class="keys">{KEYS.map(([key, what]) => <div key={key}><dt><kbd>{key}</kbd></dt><dd>{what}</dd></div>)}</dl>
        <label class="check"><input type="checkbox" checked={singleKeys.value} onChange={(event) => { singleKeys.value = event.currentTarget.checked; localStorage.setItem(SINGLE, singleKeys.value ? "on" : "off"); }} />Single keys do something outside of fields</label>
      </div>
    </Dialog>
  );
}

interface Command { label: string; hint?: string; run: () => void }

export function Palette({ pages }: { pages: [string, string][] }) {
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const field = useRef<HTMLInputElement>(null);
  // At once: what is typed next is meant for it, and a busy machine paints late.
  useLayoutEffect(() => field.current?.focus(), []);
  const close = () => (paletteShown.value = false);
  const shown = current.value;
  const commands: Command[] = [
    { label: "New session", run: () => go("/new") },
    ...(shown ? [
      { label: "Find in the conversation", hint: "Ctrl+F", run: () => { finding.value = true; } },
      { label: "Changes, files, details", run: () => { sideOpen.value = !sideOpen.value; } },
      ...(shown.log.isRunning || !shown.log.session.value?.turn_count ? [] : [{ label: "Fork from the last turn", run: () => { goingBack.value = { how: "fork" as const, turn: shown.log.session.value?.restored_to ?? shown.log.session.value?.turn_count ?? 0 }; } }]),
      { label: "To the end", run: () => shown.list.current?.toEnd() },
      { label: "Unfold or fold all", hint: "o", run: toggleAll },
      ...(shown.log.isRunning ? [{ label: "Interrupt", hint: "Ctrl+.", run: shown.interrupt }] : []),
    ] : []),
    ...(asking().length > 0 ? [{ label: "Next question", hint: "a", run: nextQuestion }] : []),
    ...[...pages, ["users", "Users"], ["api", "API reference"]].map(([name, label = ""]) => ({ label, hint: "page", run: () => go(`/${name}`) })),
    { label: "Change colours", run: cycleTheme },
    { label: "Keys", hint: "?", run: () => { keysShown.value = true; } },
    { label: "Log out", run: logOut },
    ...[...sessions.value.values()]
      .sort((a, b) => (a.session.updated_at < b.session.updated_at ? 1 : -1))
      .map(({ session }) => ({ label: revealed(titleOf(session)), hint: session.status, run: () => go(`/s/${session.id}`) })),
  ];
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = commands.filter((it) => words.every((word) => it.label.toLowerCase().includes(word))).slice(0, 40);
  if (words.length > 0) fits.push({ label: `Search the documents for “${text.trim()}”`, hint: "docs", run: () => void open(`/docs/search?q=${encodeURIComponent(text)}`, "_blank", "noopener") });
  const chosen = Math.min(at, fits.length - 1);
  const run = (command: Command | undefined) => {
    if (!command) return;
    close();
    command.run();
  };
  return (
    <Dialog title="Commands" onClose={close}>
      <div class="palette">
        <input
          ref={field} class="palette-field" role="combobox" aria-expanded="true" aria-controls="palette-list" aria-activedescendant={fits.length > 0 ? `palette-${chosen}` : undefined}
          aria-label="Command or session" placeholder="Command or session" value={text}
          onInput={(event) => { setText(event.currentTarget.value); setAt(0); }}
          onKeyDown={(event) => {
            if (event.isComposing) return;
            if (event.key === "ArrowDown") setAt((chosen + 1) % fits.length);
            else if (event.key === "ArrowUp") setAt((chosen - 1 + fits.length) % fits.length);
            else if (event.key === "Enter") run(fits[chosen]);
            else return;
            event.preventDefault();
          }}
        />
        <ul id="palette-list" role="listbox" aria-label="Commands">
          {fits.map((it, n) => (
            <li key={`${it.label} ${n}`} id={`palette-${n}`} role="option" aria-selected={n === chosen} ref={(element) => { if (n === chosen) element?.scrollIntoView({ block: "nearest" }); }} onMouseDown={(event) => event.preventDefault()} onClick={() => run(it)}>
              <span class="grow clip">{it.label}</span><span class="dim tiny">{it.hint}</span>
            </li>
          ))}
        </ul>
      </div>
    </Dialog>
  );
}
