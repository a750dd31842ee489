// Registered credentials: values go in, and never come out.

import { useEffect, useState } from "preact/hooks";
import { call, get } from "../lib/api";
import { ago, moment } from "../lib/format";
import type { Listing } from "../lib/types";
import { readRuntimes, runtimes } from "../log/composer";
import { Confirm, Empty, ErrorNote, Field, Loading, PageHead, attempt, toast } from "../ui/basics";
import { Icon } from "../ui/icons";

interface Credential { name: string; kind: string; created_at: string; updated_at: string; last_used_at: string | null; variable: string | null }

/** How values usually look, by variable: a hint, and never a refusal. */
const SHAPES: Record<string, [RegExp, string]> = {
  ANTHROPIC_API_KEY: [/^sk-ant-(?!oat)/, "Keys of Anthropic begin with sk-ant-."],
  CLAUDE_CODE_OAUTH_TOKEN: [/^sk-ant-oat/, "Tokens of `claude setup-token` begin with sk-ant-oat."],
  OPENAI_API_KEY: [/^sk-(?!ant)/, "Keys of OpenAI begin with sk-."],
  GEMINI_API_KEY: [/^AIza/, "Keys of Google AI Studio begin with AIza."],
  OPENROUTER_API_KEY: [/^sk-or-/, "Keys of OpenRouter begin with sk-or-."],
};

/** What may be wrong with a value, where it shows. */
export function doubt(variable: string | null, value: string): string | null {
  if (!value) return null;
  if (value !== value.trim()) return "There are blanks around it.";
  if (/^["'].*["']$/.test(value)) return "The quotation marks would be part of it.";
  if (/^[A-Z_]+=/.test(value)) return "This looks like NAME=value: only the value belongs here.";
  const shape = variable ? SHAPES[variable] : undefined;
  if (shape && !shape[0].test(value)) return `${shape[1]} This does not.`;
  if (/\s/.test(value) && value.length < 400 && !value.includes("-----")) return "There are blanks in it.";
  return null;
}

export function CredentialsPage() {
  const [all, setAll] = useState<Credential[] | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [failed, setFailed] = useState<unknown>(null);
  const [name, setName] = useState("");
  const [custom, setCustom] = useState("");
  const [value, setValue] = useState("");
  const [busy, setBusy] = useState(false);
  const [gone, setGone] = useState<string | null>(null);
  const load = () => {
    setError(null);
    Promise.all([get<Listing<Credential>>("/credentials"), readRuntimes()]).then(([it]) => setAll(it.data)).catch(setError);
  };
  useEffect(load, []);
  // What the runtimes can use, each with the runtimes that it serves.
  const usable = new Map<string, { label: string; variable: string; runtimes: string[] }>();
  for (const runtime of runtimes.value) {
    for (const it of runtime.credentials) {
      const known = usable.get(it.name) ?? { label: it.label, variable: it.variable, runtimes: [] };
      known.runtimes.push(runtime.name);
      usable.set(it.name, known);
    }
  }
  const there = new Set((all ?? []).map((it) => it.name));
  const wanted = name === "custom" ? `env:${custom.trim()}` : name;
  const variable = usable.get(name)?.variable ?? (name === "custom" ? custom.trim() : null);
  const hint = doubt(variable, value);
  const save = async () => {
    setBusy(true);
    setFailed(null);
    try {
      await call("PUT", `/credentials/${encodeURIComponent(wanted)}`, { body: { value } });
      setValue("");
      setCustom("");
      setName("");
      toast(`${wanted} is registered`);
      load();
    } catch (problem) {
      setFailed(problem);
    } finally {
      setBusy(false);
    }
  };
  const keyless = runtimes.value.filter((it) => it.health === "ready" && it.credentials.length === 0).map((it) => it.name);
  const waiting = [...usable].filter(([it]) => !there.has(it));
  return (
    <main class="page narrow">
      <PageHead title="Credentials" hint="Given once, used by all of your sessions. Values go in and never come out again." />
      <ErrorNote error={error} retry={load} />
      {!all && !error ? <Loading /> : null}
      {all ? (
        <form class="card form" onSubmit={(event) => { event.preventDefault(); void save(); }}>
          <h2>Register a credential</h2>
          <Field label="What it is" hint={name && name !== "custom" ? `For ${usable.get(name)?.runtimes.join(", ") ?? ""}, in the variable ${variable}` : undefined}>
            <select required value={name} onChange={(event) => setName(event.currentTarget.value)}>
              <option value="">Choose</option>
              {[...usable].map(([it, info]) => <option key={it} value={it}>{it.split(":").at(-1)}: {info.label}{there.has(it) ? " (replace)" : ""}</option>)}
              <option value="custom">A variable of my own</option>
            </select>
          </Field>
          {name === "custom" ? <Field label="Name of the variable"><input required pattern="[A-Za-z_][A-Za-z0-9_]*" placeholder="NPM_TOKEN" value={custom} onInput={(event) => setCustom(event.currentTarget.value)} /></Field> : null}
          <Field label="Value" hint={hint ? <span class="problem" role="status">{hint} It can be registered all the same.</span> : "It is sealed before it is stored, and hidden in all that is recorded."}>
            <input type="password" required autocomplete="off" spellcheck={false} value={value} onInput={(event) => setValue(event.currentTarget.value)} />
          </Field>
          <ErrorNote error={failed} />
          <div><button class="primary" disabled={busy || !name || !value}>{there.has(wanted) ? "Replace" : "Register"}</button></div>
        </form>
      ) : null}
      {all?.length === 0 ? (
        <Empty title="No credentials yet">
          {waiting.length > 0 ? <p class="dim">Runtimes that wait for one: {runtimes.value.filter((it) => it.credentials.length > 0).map((it) => it.name).join(", ")}.</p> : <p class="dim">No runtime here needs one.</p>}
          {keyless.length > 0 ? <p class="dim">{keyless.join(", ")} {keyless.length > 1 ? "need" : "needs"} none.</p> : null}
        </Empty>
      ) : null}
      <div class="cards">
        {(all ?? []).map((it) => (
          <div class="card" key={it.name}>
            <header>
              <h2 class="grow"><code>{it.name}</code></h2>
              <button type="button" class="small" onClick={() => { setName(usable.has(it.name) ? it.name : "custom"); if (!usable.has(it.name)) setCustom(it.name.replace(/^env:/, "")); document.querySelector<HTMLElement>(".form input[type=password]")?.focus(); }}>Replace</button>
              <button type="button" class="quiet icon-only" aria-label={`Delete ${it.name}`} onClick={() => setGone(it.name)}><Icon name="trash" /></button>
            </header>
            <div class="dim tiny">
              {it.variable ? <>as <code>{it.variable}</code>, </> : "no runtime that is loaded asks for it, "}
              <span title={moment(it.updated_at)}>set {ago(it.updated_at)}</span>, {it.last_used_at ? <span title={moment(it.last_used_at)}>last used {ago(it.last_used_at)}</span> : "never used"}
            </div>
          </div>
        ))}
      </div>
      {gone ? <Confirm title={`Delete ${gone}?`} text="The next turn of each session goes without it." action="Delete" onNo={() => setGone(null)} onYes={() => void attempt(async () => { await call("DELETE", `/credentials/${encodeURIComponent(gone)}`); setGone(null); load(); })} /> : null}
    </main>
  );
}
