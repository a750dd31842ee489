// The runtimes: whether they can be used, and what they can.

import { useEffect, useState } from "preact/hooks";
import { call } from "../lib/api";
import type { Runtime } from "../lib/types";
import { readRuntimes, runtimes } from "../log/composer";
import { Empty, ErrorNote, Loading, PageHead, toast } from "../ui/basics";
import { Table } from "../ui/table";
import { Exact, pretty } from "../ui/text";

const HEALTH: Record<Runtime["health"], [string, string]> = {
  ready: ["completed", "Ready"], compiling: ["pending", "Compiling"], stale: ["asks", "Ready, as it was before"], disabled: ["pending", "Switched off"], failed: ["failed", "Cannot be loaded"],
};

export function RuntimesPage({ name }: { name?: string }) {
  const [error, setError] = useState<unknown>(null);
  const [loaded, setLoaded] = useState(false);
  const [failed, setFailed] = useState<unknown>(null);
  const load = () => {
    setError(null);
    readRuntimes().then(() => setLoaded(true)).catch(setError);
  };
  const compiling = runtimes.value.some((it) => it.health === "compiling");
  useEffect(load, []);
  useEffect(() => {
    if (!compiling) return;
    const timer = setInterval(load, 2000);
    return () => clearInterval(timer);
  }, [compiling]);
  const reload = async () => {
    setFailed(null);
    try {
      const { runtimes: report } = await call<{ runtimes: { name: string; change: string }[] }>("POST", "/runtimes/reload", { admin: true });
      const moved = report.filter((it) => it.change !== "unchanged");
      toast(moved.length === 0 ? "Nothing has changed" : moved.map((it) => `${it.name}: ${it.change}`).join(", "));
      load();
    } catch (problem) {
      setFailed(problem);
    }
  };
  return (
    <main class="page">
      <PageHead title="Runtimes" hint="The command-line agents of this server, as runtimes.toml declares them."><button type="button" onClick={() => void reload()}>Read runtimes.toml again</button></PageHead>
      <ErrorNote error={failed} />
      <ErrorNote error={error} retry={load} />
      {!loaded && !error ? <Loading /> : null}
      {loaded && runtimes.value.length === 0 ? <Empty title="No runtimes"><p class="dim">Declare one in <code>runtimes.toml</code> and read it again.</p></Empty> : null}
      <div class="cards">
        {runtimes.value.map((it) => <RuntimeCard key={it.name} runtime={it} open={name === it.name} />)}
      </div>
    </main>
  );
}

function RuntimeCard({ runtime, open }: { runtime: Runtime; open: boolean }) {
  const [state, word] = HEALTH[runtime.health];
  const facts: [string, preact.ComponentChildren][] = [
    ["Program", runtime.command ? <><code><Exact text={runtime.command} /></code>{runtime.cli_version ? ` ${runtime.cli_version}` : ""}{runtime.cli_tested === false ? " (not a version that the adapter was tested with)" : ""}</> : "none"],
    ["Tested with", runtime.tested ?? "any"],
    ["Adapter", `${runtime.adapter ?? "?"} ${runtime.adapter_version ?? ""}, interface ${runtime.interface_version ?? "?"}`],
    ["Digest", <code class="tiny">{runtime.adapter_digest ?? "none"}</code>],
    ["Credentials", runtime.credentials.length === 0 ? "needs none" : runtime.credentials.map((it, n) => <span key={it.name}>{n > 0 ? ", " : ""}{it.label} (<code>{it.name}</code>)</span>)],
    ["Can", runtime.capabilities.map((it) => `${it.name.replaceAll("_", " ")}${it.values?.length ? ` (${it.values.join(", ")})` : ""}`).join(", ") || "nothing besides"],
  ];
  return (
    <section class="card" aria-label={runtime.name}>
      <header><h2 class="grow">{runtime.name}</h2><span class={`state ${state}`}><span class="dot" />{word}</span></header>
      {runtime.error ? <div class="note bad"><Exact text={runtime.error} /></div> : null}
      {runtime.warning ? <div class="note warn"><Exact text={runtime.warning} /></div> : null}
      <div class="dim">{runtime.models.length} {runtime.models.length === 1 ? "model" : "models"}{runtime.credentials.length > 0 ? <>, needs <a href="#/credentials">a credential</a></> : ", needs no key"}</div>
      <details open={open}>
        <summary>More</summary>
        <dl class="facts">{facts.map(([label, value]) => <div key={label}><dt>{label}</dt><dd>{value}</dd></div>)}</dl>
        <h2>Models</h2>
        <p class="chips">{runtime.models.map((it) => <code class="chip" key={it}>{it}</code>)}</p>
        {runtime.options.length > 0 ? (
          <>
            <h2>Options</h2>
            <Table label={`Options of ${runtime.name}`} head={["Option", "What it does", "Values"]} rows={runtime.options.map((it) => [
              it.id, <code>{it.id}</code>, it.description, <code>{Array.isArray(it.schema.enum) ? it.schema.enum.join(", ") : pretty(it.schema.type)}</code>,
            ])} />
          </>
        ) : null}
      </details>
    </section>
  );
}
