// A new session: a prompt, and who is to work on it. The rest is folded.

import { useEffect, useState } from "preact/hooks";
import { ApiError, get, post } from "../lib/api";
import { go } from "../lib/router";
import type { Agent, Environment, Limits, Listing } from "../lib/types";
import { AttachButton, LimitFields, OptionField, PromptField, composing, readRuntimes, runtimes } from "../log/composer";
import { ErrorNote, Field, Loading, PageHead } from "../ui/basics";
import { Icon } from "../ui/icons";

interface Repository { url: string; checkout: string; authorization_token: string }

const REMEMBERED = "aod.new";

export function NewPage() {
  const draft = composing("new");
  const [agents, setAgents] = useState<Agent[] | null>(null);
  const [environments, setEnvironments] = useState<Environment[]>([]);
  const [failed, setFailed] = useState<unknown>(null);
  const [error, setError] = useState<unknown>(null);
  const remembered = JSON.parse(sessionStorage.getItem(REMEMBERED) ?? "{}") as { agent?: string; runtime?: string; model?: string };
  const [agent, setAgent] = useState(remembered.agent ?? "");
  const [runtime, setRuntime] = useState(remembered.runtime ?? "");
  const [model, setModel] = useState(remembered.model ?? "");
  const [environment, setEnvironment] = useState("");
  const [title, setTitle] = useState("");
  const [timeout, setTimeout_] = useState("");
  const [repositories, setRepositories] = useState<Repository[]>([]);
  const [secrets, setSecrets] = useState<{ name: string; value: string }[]>([]);
  const [settings, setSettings] = useState<Record<string, unknown>>({});
  const [limits, setLimits] = useState<Limits>({});
  const load = () => {
    setFailed(null);
    Promise.all([get<Listing<Agent>>("/agents"), get<Listing<Environment>>("/environments"), readRuntimes()])
      .then(([a, e, r]) => {
        setAgents(a.data);
        setEnvironments(e.data);
        if (agent && !a.data.some((it) => it.id === agent)) setAgent("");
        const ready = r.filter((it) => it.health === "ready" && it.models.length > 0);
        const chosen = ready.find((it) => it.name === runtime) ?? ready.find((it) => it.credentials.length === 0) ?? ready[0];
        if (chosen && chosen.name !== runtime) {
          setRuntime(chosen.name);
          setModel(chosen.models[0] ?? "");
        }
      })
      .catch(setFailed);
  };
  useEffect(load, []);
  if (failed) return <main class="page narrow"><PageHead title="New session" /><ErrorNote error={failed} retry={load} /></main>;
  if (!agents) return <main class="page narrow"><PageHead title="New session" /><Loading /></main>;
  const chosenAgent = agents.find((it) => it.id === agent);
  const chosen = runtimes.value.find((it) => it.name === (chosenAgent?.runtime ?? runtime));
  const problems = error instanceof ApiError ? error.fields : new Map<string, string>();

  const start = async () => {
    if (draft.sending.value || !draft.text.value.trim()) return;
    draft.sending.value = true;
    setError(null);
    try {
      const prompt = await draft.blocks(null);
      let id = agent;
      let own = false;
      if (!id) {
        const kept = sessionStorage.getItem("aod.new.agent");
        const wanted = `${runtime} ${model}`;
        const [agentId, of] = (kept ?? "").split("|");
        if (agentId && of === wanted) id = agentId;
        else {
          id = (await post<Agent>("/agents", { name: `${runtime}, ${model.split("/").at(-1)}`.slice(0, 200), runtime, model, metadata: { "made-by": "console" } })).id;
          // A retry uses it again.
          sessionStorage.setItem("aod.new.agent", `${id}|${wanted}`);
        }
        own = true;
      }
      const words = draft.text.value.trim().split("\n")[0] ?? "";
      const body: Record<string, unknown> = { agent_id: id, prompt, title: title.trim() || words.slice(0, 80) };
      if (environment) body.environment_id = environment;
      if (timeout) body.timeout = Number(timeout);
      if (Object.keys(settings).length > 0) body.settings = settings;
      if (Object.keys(limits).length > 0) body.limits = limits;
      const named = secrets.filter((it) => it.name);
      if (named.length > 0) body.secret_env_vars = Object.fromEntries(named.map((it) => [it.name, it.value]));
      const urls = repositories.filter((it) => it.url.trim());
      if (urls.length > 0) {
        body.resources = urls.map((it) => ({
          type: "git_repository", url: it.url.trim(), ...(it.checkout ? { checkout: it.checkout } : {}), ...(it.authorization_token ? { authorization_token: it.authorization_token } : {}),
        }));
      }
      const made = await draft.send<{ id: string }>("/sessions", body);
      sessionStorage.setItem(REMEMBERED, JSON.stringify({ agent, runtime, model }));
      if (own) {
        // It was made for this one session, which keeps its own copy.
        sessionStorage.removeItem("aod.new.agent");
        void post(`/agents/${id}/archive`).catch(() => undefined);
      }
      go(`/s/${made.id}`);
    } catch (problem) {
      setError(problem);
    } finally {
      draft.sending.value = false;
    }
  };

  return (
    <main class="page narrow">
      <PageHead title="New session" />
      <div class="composer-box tall" onDragOver={(event) => event.preventDefault()} onDrop={(event) => { event.preventDefault(); draft.attach(event.dataTransfer?.files ?? []); }}>
        <PromptField draft={draft} onSend={() => void start()} placeholder="What is the agent to do?" autofocus />
        <div class="composer-tools"><AttachButton draft={draft} /><span class="grow" />
          <button type="button" class="primary" disabled={draft.sending.value || !draft.text.value.trim()} onClick={() => void start()}>{draft.sending.value ? "Starting…" : "Start"}</button>
        </div>
      </div>
      {draft.text.value ? null : (
        <div class="suggestions">
          {["Say hello, look around and leave a note.", "What is in this folder?", "Write a haiku about sandboxes to haiku.txt"].map((it) => <button type="button" class="small" key={it} onClick={() => draft.write(it)}>{it}</button>)}
        </div>
      )}
      <ErrorNote error={error} />
      <div class="grid two">
        <Field label="Agent" hint={chosenAgent ? `${chosenAgent.runtime}, ${chosenAgent.model}` : agents.length === 0 ? <>None yet: choose a runtime, or <a href="#/agents/new">make an agent</a></> : "Or a runtime and a model alone"} error={problems.get("agent_id")}>
          <select value={agent} onChange={(event) => setAgent(event.currentTarget.value)}>
            <option value="">Without an agent of its own</option>
            {agents.map((it) => <option value={it.id} key={it.id}>{it.name}</option>)}
          </select>
        </Field>
        <Field label="Environment" hint={environments.length === 0 ? <>None yet: <a href="#/environments/new">make one</a> for packages, variables and network rules</> : "What its sandbox holds"} error={problems.get("environment_id")}>
          <select value={environment} onChange={(event) => setEnvironment(event.currentTarget.value)}>
            <option value="">{chosenAgent?.environment_id ? "The agent's" : "The standard one"}</option>
            {environments.map((it) => <option value={it.id} key={it.id}>{it.name}</option>)}
          </select>
        </Field>
        {agent ? null : (
          <>
            <Field label="Runtime" error={problems.get("runtime")} hint={chosen?.warning ?? (chosen && chosen.credentials.length > 0 ? <>Needs a key: <a href="#/credentials">{chosen.credentials[0]?.label ?? chosen.credentials[0]?.name}</a></> : chosen ? "Needs no key" : undefined)}>
              <select value={runtime} onChange={(event) => { const name = event.currentTarget.value; setRuntime(name); setModel(runtimes.value.find((it) => it.name === name)?.models[0] ?? ""); setSettings({}); }}>
                {runtimes.value.map((it) => <option value={it.name} key={it.name} disabled={it.health !== "ready" && it.health !== "stale"}>{it.name}{it.health === "ready" ? "" : ` (${it.health})`}</option>)}
              </select>
            </Field>
            <Field label="Model" error={problems.get("model")} hint={chosen ? `${chosen.models.length} known` : undefined}>
              <input list="models" value={model} onInput={(event) => setModel(event.currentTarget.value)} />
              <datalist id="models">{(chosen?.models ?? []).map((it) => <option value={it} key={it} />)}</datalist>
            </Field>
          </>
        )}
      </div>
      <details class="more">
        <summary>Repositories, secrets, settings and limits</summary>
        <div class="grid two">
          <Field label="Title" hint="The prompt's first words where nothing is said" error={problems.get("title")}><input value={title} maxLength={200} onInput={(event) => setTitle(event.currentTarget.value)} /></Field>
          <Field label="Seconds a turn may take" hint="10 to 3600; 600 where nothing is said" error={problems.get("timeout")}><input type="number" min="10" max="3600" value={timeout} onInput={(event) => setTimeout_(event.currentTarget.value)} /></Field>
        </div>
        <h2>Repositories</h2>
        {repositories.map((it, n) => {
          const change = (more: Partial<Repository>) => setRepositories(repositories.map((old, m) => (m === n ? { ...old, ...more } : old)));
          return (
            <div class="row wrap" key={n}>
              <input class="grow" type="url" aria-label="URL of the repository" placeholder="https://github.com/owner/repo" value={it.url} onInput={(event) => change({ url: event.currentTarget.value })} />
              <input aria-label="Branch, tag or commit" placeholder="branch or tag" value={it.checkout} onInput={(event) => change({ checkout: event.currentTarget.value })} />
              <input type="password" autocomplete="off" aria-label="Token for the repository" placeholder="token, if private" value={it.authorization_token} onInput={(event) => change({ authorization_token: event.currentTarget.value })} />
              <button type="button" class="quiet icon-only" aria-label="Remove the repository" onClick={() => setRepositories(repositories.filter((_, m) => m !== n))}><Icon name="cross" /></button>
              {problems.get(`resources.${n}.url`) ? <span class="problem">{problems.get(`resources.${n}.url`)}</span> : null}
            </div>
          );
        })}
        <button type="button" class="small" onClick={() => setRepositories([...repositories, { url: "", checkout: "", authorization_token: "" }])}><Icon name="plus" />Add a repository</button>
        <h2>Secret variables of this session</h2>
        {secrets.map((it, n) => {
          const change = (more: Partial<{ name: string; value: string }>) => setSecrets(secrets.map((old, m) => (m === n ? { ...old, ...more } : old)));
          return (
            <div class="row wrap" key={n}>
              <input aria-label="Name of the variable" placeholder="NAME" value={it.name} onInput={(event) => change({ name: event.currentTarget.value })} />
              <input class="grow" type="password" autocomplete="off" aria-label="Value of the variable" placeholder="value" value={it.value} onInput={(event) => change({ value: event.currentTarget.value })} />
              <button type="button" class="quiet icon-only" aria-label="Remove the variable" onClick={() => setSecrets(secrets.filter((_, m) => m !== n))}><Icon name="cross" /></button>
            </div>
          );
        })}
        <button type="button" class="small" onClick={() => setSecrets([...secrets, { name: "", value: "" }])}><Icon name="plus" />Add a variable</button>
        {chosen && chosen.options.length > 0 ? <h2>Settings of {chosen.name}</h2> : null}
        <div class="grid two">
          {(chosen?.options ?? []).map((option) => <OptionField key={option.id} option={option} value={settings[option.id]} onChange={(value) => { const { [option.id]: _, ...rest } = settings; setSettings(value === undefined ? rest : { ...rest, [option.id]: value }); }} />)}
        </div>
        <h2>Limits of each turn</h2>
        <div class="grid three"><LimitFields value={limits} onChange={setLimits} errors={problems} /></div>
      </details>
    </main>
  );
}
