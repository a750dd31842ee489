// The server: its health, what its sandboxes enforce, its limits and figures, and the caller's tokens.

import { useEffect, useState } from "preact/hooks";
import { ApiError, call, failure, get, post, request } from "../lib/api";
import { ago, duration, moment } from "../lib/format";
import { sessions } from "../lib/sessions";
import type { Listing } from "../lib/types";
import { Confirm, CopyButton, ErrorNote, Field, Loading, PageHead, attempt } from "../ui/basics";
import { Icon } from "../ui/icons";
import { Ago, Table } from "../ui/table";

interface Health { status: string; limits?: { sessions_per_user: number; running_turns: number; turn_timeout: number }; sandbox?: { driver: string; checks: { name: string; state: string }[] } }
interface TokenInfo { id: string; name: string; created_at: string; last_used_at: string | null; expires_at: string | null; revoked_at: string | null }

const ENFORCED: Record<string, [string, string]> = {
  enforced: ["completed", "Enforced"], partial: ["asks", "In part"], not_enforced: ["asks", "Not enforced"], failed: ["failed", "Does not work"],
};

export function ServerPage() {
  const [health, setHealth] = useState<Health | null>(null);
  const [error, setError] = useState<unknown>(null);
  const load = () => {
    setError(null);
    get<Health>("/health").then(setHealth).catch(setError);
  };
  useEffect(load, []);
  return (
    <main class="page">
      <PageHead title="Server" hint={location.origin}>
        <a class="button" href="#/users">Users</a>
        <a class="button" href="#/api">API reference</a>
      </PageHead>
      <ErrorNote error={error} retry={load} />
      <div class="grid two">
        <section class="card" aria-label="Health">
          <header><h2 class="grow">Health</h2>{health ? <span class="state completed"><span class="dot" />Well</span> : null}</header>
          {!health && !error ? <Loading /> : null}
          {health?.sandbox ? (
            <>
              <div class="dim">Sandboxes are made by {health.sandbox.driver}. What the machine holds them to:</div>
              <dl class="facts short">{health.sandbox.checks.map((it) => { const [state, word] = ENFORCED[it.state] ?? ["pending", it.state]; return <div key={it.name}><dt>{it.name.replaceAll("_", " ")}</dt><dd><span class={`state ${state}`}><span class="dot" />{word}</span></dd></div>; })}</dl>
              <div class="dim tiny"><code>aod doctor</code> on the server's machine says how to mend what is not enforced.</div>
            </>
          ) : null}
        </section>
        <div class="stack">
          <LimitsCard limits={health?.limits} />
          <Figures />
        </div>
      </div>
      <Tokens />
    </main>
  );
}

/** What the server allows, and what of it the caller uses. */
function LimitsCard({ limits }: { limits: Health["limits"] }) {
  if (!limits) return null;
  const active = [...sessions.value.values()].filter(({ session }) => session.status === "running" || session.status === "pending").length;
  const rows: [string, string][] = [
    ["Your sessions at work", `${active} of ${limits.sessions_per_user}`],
    ["Turns at once, of all users", String(limits.running_turns)],
    ["Time of a turn, where nothing is said", duration(limits.turn_timeout * 1000)],
  ];
  return (
    <section class="card" aria-label="Limits">
      <h2>Limits</h2>
      <dl class="facts short">{rows.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}</dl>
      <div class="dim tiny"><code>aod serve --print-config</code> on the server's machine shows all settings.</div>
    </section>
  );
}

/** A figure without the digits that only a computer's fractions have. */
const figure = (text: string): string => (text.length > 12 && Number.isFinite(Number(text)) ? String(Number(Number(text).toPrecision(6))) : text);

/** Figures that an administrator may read. */
function Figures() {
  const [figures, setFigures] = useState<[string, string][] | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  useEffect(() => {
    void (async () => {
      const reply = await request("GET", "/metrics", { headers: { accept: "text/plain" } });
      if (!reply.ok) throw await failure(reply, true);
      const lines = (await reply.text()).split("\n").filter((it) => it && !it.startsWith("#") && !it.includes("_bucket"));
      setFigures(lines.slice(0, 60).map((it) => { const at = it.lastIndexOf(" "); return [it.slice(0, at), figure(it.slice(at + 1))]; }));
    })().catch((failed: ApiError) => setError(failed));
  }, []);
  return (
    <section class="card" aria-label="Figures">
      <h2>Figures</h2>
      {error ? (error.status === 401 ? <p class="dim">An administrator sees the server's figures here.</p> : <ErrorNote error={error} />) : null}
      {!figures && !error ? <Loading /> : null}
      {figures ? <div class="table-wrap figures-table" tabIndex={0} role="region" aria-label="Figures of the server"><table class="list"><tbody>{figures.map(([name, value]) => <tr key={name}><td><code>{name.replace(/^aod_/, "")}</code></td><td class="right">{value}</td></tr>)}</tbody></table></div> : null}
    </section>
  );
}

function Tokens() {
  const [all, setAll] = useState<TokenInfo[] | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [failed, setFailed] = useState<unknown>(null);
  const [name, setName] = useState("");
  const [days, setDays] = useState("30");
  const [secret, setSecret] = useState<string | null>(null);
  const [gone, setGone] = useState<TokenInfo | null>(null);
  const load = () => {
    setError(null);
    get<Listing<TokenInfo>>("/tokens").then((it) => setAll(it.data)).catch(setError);
  };
  useEffect(load, []);
  const make = async () => {
    setFailed(null);
    try {
      const expires = days ? new Date(Date.now() + Number(days) * 86_400_000).toISOString() : null;
      const made = await post<{ token: string }>("/tokens", { name, ...(expires ? { expires_at: expires } : {}) });
      setSecret(made.token);
      setName("");
      load();
    } catch (problem) {
      setFailed(problem);
    }
  };
  const live = (all ?? []).filter((it) => !it.revoked_at);
  return (
    <section class="card" aria-label="Tokens">
      <h2>Your tokens</h2>
      <ErrorNote error={error} retry={load} />
      {secret ? <div class="secret"><div class="grow">This token is shown now and never again:<br /><code>{secret}</code></div><CopyButton text={secret} label="Copy the token" /><button type="button" class="small" onClick={() => setSecret(null)}>Done</button></div> : null}
      <form class="row wrap" onSubmit={(event) => { event.preventDefault(); void make(); }}>
        <Field label="Name of a new one"><input required maxLength={200} value={name} placeholder="laptop" onInput={(event) => setName(event.currentTarget.value)} /></Field>
        <Field label="Good for"><select value={days} onChange={(event) => setDays(event.currentTarget.value)}><option value="1">a day</option><option value="30">30 days</option><option value="365">a year</option><option value="">ever</option></select></Field>
        <button class="primary align-end">Make a token</button>
      </form>
      <ErrorNote error={failed} />
      {live.length > 0 ? (
        <Table label="Your tokens" head={["Name", "Made", "Last used", "Good until", ""]} rows={live.map((it) => [
          it.id, <bdi>{it.name}</bdi>, <Ago at={it.created_at} />, it.last_used_at ? ago(it.last_used_at) : "never", it.expires_at ? moment(it.expires_at) : "ever",
          <button type="button" class="quiet icon-only" aria-label={`Revoke ${it.name}`} onClick={() => setGone(it)}><Icon name="trash" /></button>,
        ])} />
      ) : null}
      {gone ? <Confirm title={`Revoke ${gone.name}?`} text="Who uses it is let in no more, for good. If it is the one of this page, you are asked to log in again." action="Revoke" onNo={() => setGone(null)} onYes={() => void attempt(async () => { await call("DELETE", `/tokens/${gone.id}`); setGone(null); load(); })} /> : null}
    </section>
  );
}
