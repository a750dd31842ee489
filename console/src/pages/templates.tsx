// Agents and environments: lists, forms from the API's description, and their versions compared.

import { useEffect, useState } from "preact/hooks";
import { ApiError, call, get, post } from "../lib/api";
import { ago, moment } from "../lib/format";
import { go } from "../lib/router";
import { type Schema, description, resolved } from "../lib/schema";
import { revealed } from "../lib/text";
import type { Agent, Environment, Listing } from "../lib/types";
import { compare } from "../lib/worker-client";
import { OptionField, readRuntimes, runtimes } from "../log/composer";
import { Confirm, Empty, ErrorNote, Field, Loading, PageHead, attempt, toast } from "../ui/basics";
import { type Fields, SchemaForm, type Special } from "../ui/form";
import { Icon } from "../ui/icons";
import { DiffView, pretty } from "../ui/text";

type Template = Agent | Environment;

interface Kind {
  path: string;
  one: string;
  many: string;
  create: string;
  hint: string;
  example: Fields;
  order: string[];
  summary: (it: Template) => string;
}

const AGENTS: Kind = {
  path: "/agents", one: "agent", many: "Agents", create: "NewAgent",
  hint: "Reusable templates: a runtime, a model, and what it is told.",
  example: { name: "Reviewer", system: "You review changes. Say what is wrong, where, and how to mend it. Change nothing yourself." },
  order: ["name", "runtime", "model", "description", "system", "environment_id", "settings", "limits", "mcp_servers", "skills", "git_identity", "metadata"],
  summary: (it) => `${(it as Agent).runtime}, ${(it as Agent).model}`,
};
const ENVIRONMENTS: Kind = {
  path: "/environments", one: "environment", many: "Environments", create: "NewEnvironment",
  hint: "What sandboxes hold: variables, packages, a setup script, and what they may reach.",
  example: { name: "Limited network", networking: { type: "limited", allowed_hosts: ["github.com"], allow_package_managers: true } },
  order: ["name", "env_vars", "vars", "setup_script", "setup_timeout", "networking", "packages", "credentials", "project_config", "git_identity"],
  summary: (it) => {
    const environment = it as Environment;
    const hosts = environment.networking.allowed_hosts.length;
    return environment.networking.type === "limited" ? `${hosts} ${hosts === 1 ? "host" : "hosts"} allowed` : "open network";
  },
};

export const AgentsPage = ({ id }: { id?: string }) => <TemplatesPage key={`a ${id}`} kind={AGENTS} id={id} />;
export const EnvironmentsPage = ({ id }: { id?: string }) => <TemplatesPage key={`e ${id}`} kind={ENVIRONMENTS} id={id} />;

function TemplatesPage({ kind, id }: { kind: Kind; id?: string }) {
  if (id === "new") return <Edit kind={kind} />;
  if (id) return <One kind={kind} id={id} />;
  return <All kind={kind} />;
}

function All({ kind }: { kind: Kind }) {
  const [all, setAll] = useState<Template[] | null>(null);
  const [error, setError] = useState<unknown>(null);
  const load = () => {
    setError(null);
    get<Listing<Template>>(kind.path).then((it) => setAll(it.data)).catch(setError);
  };
  useEffect(load, [kind]);
  return (
    <main class="page">
      <PageHead title={kind.many} hint={kind.hint}><a class="button primary" href={`#${kind.path}/new`}><Icon name="plus" />New {kind.one}</a></PageHead>
      <ErrorNote error={error} retry={load} />
      {!all && !error ? <Loading /> : null}
      {all?.length === 0 ? (
        <Empty title={`No ${kind.many.toLowerCase()} yet`}>
          <p class="dim">For example:</p>
          <pre class="code">{pretty(kind.example)}</pre>
          <a class="button" href={`#${kind.path}/new?example`}>Begin with this example</a>
        </Empty>
      ) : null}
      <div class="cards">
        {(all ?? []).map((it) => (
          <a class="card" key={it.id} href={`#${kind.path}/${it.id}`}>
            <header><h2 class="grow"><bdi>{revealed(it.name)}</bdi></h2><span class="dim tiny">version {it.version}</span></header>
            <div class="dim">{kind.summary(it)}</div>
            {typeof it.description === "string" ? <div>{revealed(it.description.slice(0, 300))}</div> : null}
            <div class="dim tiny">changed {ago(it.updated_at)}</div>
          </a>
        ))}
      </div>
    </main>
  );
}

function One({ kind, id }: { kind: Kind; id: string }) {
  const [found, setFound] = useState<Template | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [versions, setVersions] = useState<Template[]>([]);
  const [asks, setAsks] = useState(false);
  const load = () => {
    setError(null);
    Promise.all([get<Template>(`${kind.path}/${id}`), get<Listing<Template>>(`${kind.path}/${id}/versions`)])
      .then(([it, old]) => {
        setFound(it);
        setVersions(old.data);
      })
      .catch(setError);
  };
  useEffect(load, [id]);
  if (error) return <main class="page"><PageHead title={kind.many} /><ErrorNote error={error} retry={load} /><p><a href={`#${kind.path}`}>All {kind.many.toLowerCase()}</a></p></main>;
  if (!found) return <main class="page"><PageHead title={kind.many} /><Loading /></main>;
  return (
    <>
      <Edit key={found.version} kind={kind} known={found} onSaved={load} onArchive={found.archived_at ? undefined : () => setAsks(true)}>
        <Versions versions={versions} />
      </Edit>
      {asks ? <Confirm title={`Archive ${found.name}?`} text="It is hidden from lists and starts no new session, for good. Sessions that exist go on." action="Archive" onNo={() => setAsks(false)} onYes={() => void attempt(async () => { await post(`${kind.path}/${id}/archive`); toast("Archived"); go(kind.path); })} /> : null}
    </>
  );
}

/** Two versions side by side: what changed from one to the other. */
function Versions({ versions }: { versions: Template[] }) {
  const [from, setFrom] = useState(versions[1]?.version ?? 0);
  const [to, setTo] = useState(versions[0]?.version ?? 0);
  const [diff, setDiff] = useState<string | null>(null);
  useEffect(() => {
    const text = (version: number) => {
      const found = versions.find((it) => it.version === version);
      if (!found) return "";
      const { version: _, updated_at: __, created_at: ___, ...rest } = found;
      return JSON.stringify(rest, null, 2);
    };
    void compare(text(from), text(to), "version").then(setDiff);
  }, [from, to, versions]);
  if (versions.length < 2) return null;
  const choose = (value: number, set: (n: number) => void, label: string) => (
    <label class="row"><span class="dim">{label}</span><select value={value} onChange={(event) => set(Number(event.currentTarget.value))}>{versions.map((it) => <option key={it.version} value={it.version}>version {it.version}, {moment(it.updated_at)}</option>)}</select></label>
  );
  return (
    <details class="more">
      <summary>{versions.length} versions</summary>
      <div class="row wrap">{choose(from, setFrom, "from")}{choose(to, setTo, "to")}</div>
      <div>{diff ? <DiffView unified={diff} most={400} /> : <p class="dim">They are the same.</p>}</div>
    </details>
  );
}

/** What a form begins with: what the resource says, without what is not for its user to set. */
function initial(kind: Kind, schema: Schema, known?: Template, example = false): Fields {
  if (!known) return example ? { ...kind.example } : {};
  const fields: Fields = {};
  for (const name of Object.keys(schema.properties ?? {})) {
    const value = known[name];
    if (value === null || value === undefined) continue;
    if (Array.isArray(value) && value.length === 0) continue;
    if (typeof value === "object" && Object.keys(value).length === 0) continue;
    fields[name] = value;
  }
  return fields;
}

/** What was typed over a version that somebody else has changed meanwhile, until the new one is read. */
const typed = new Map<string, Fields>();

function Edit({ kind, known, onSaved, onArchive, children }: { kind: Kind; known?: Template; onSaved?: () => void; onArchive?: () => void; children?: preact.ComponentChildren }) {
  const [schemas, setSchemas] = useState<Record<string, Schema> | null>(null);
  const [value, setValue] = useState<Fields | null>(null);
  const [before, setBefore] = useState<Fields>({});
  const [environments, setEnvironments] = useState<Environment[]>([]);
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const load = () => {
    setError(null);
    const more = kind === AGENTS ? [readRuntimes(), get<Listing<Environment>>("/environments").then((it) => setEnvironments(it.data))] : [];
    Promise.all([description(), ...more])
      .then(([document]) => {
        const all = document.components.schemas;
        setSchemas(all);
        const fields = initial(kind, resolved(all[kind.create] ?? {}, all), known, location.hash.endsWith("?example"));
        if (!known && kind === AGENTS) {
          const ready = runtimes.value.find((it) => it.health === "ready" && it.models.length > 0);
          fields.runtime ??= ready?.name;
          fields.model ??= ready?.models[0];
        }
        setValue({ ...fields, ...(known ? typed.get(known.id) : {}) });
        setBefore(fields);
        if (known) typed.delete(known.id);
      })
      .catch(setError);
  };
  useEffect(load, []);
  const title = known ? revealed(known.name) : `New ${kind.one}`;
  if (!schemas || !value) return <main class="page narrow"><PageHead title={title} /><ErrorNote error={error} retry={load} />{error ? null : <Loading />}</main>;
  const errors = error instanceof ApiError ? error.fields : new Map<string, string>();
  const runtime = runtimes.value.find((it) => it.name === value.runtime);
  const special: Special = kind === AGENTS ? {
    runtime: (it, change, wrong) => (
      <Field label="Runtime" error={wrong} hint={runtime?.warning ?? runtime?.error ?? undefined}>
        <select value={String(it ?? "")} onChange={(event) => change(event.currentTarget.value)}>{runtimes.value.map((one) => <option key={one.name} value={one.name}>{one.name}{one.health === "ready" ? "" : ` (${one.health})`}</option>)}</select>
      </Field>
    ),
    model: (it, change, wrong) => (
      <Field label="Model" error={wrong} hint="provider/model">
        <input list="agent-models" required value={String(it ?? "")} onInput={(event) => change(event.currentTarget.value)} />
        <datalist id="agent-models">{(runtime?.models ?? []).map((one) => <option key={one} value={one} />)}</datalist>
      </Field>
    ),
    environment_id: (it, change, wrong) => (
      <Field label="Environment" error={wrong} hint="That of its sessions, unless they name another">
        <select value={String(it ?? "")} onChange={(event) => change(event.currentTarget.value || undefined)}><option value="">The standard one</option>{environments.map((one) => <option key={one.id} value={one.id}>{one.name}</option>)}</select>
      </Field>
    ),
    settings: (it, change, wrong) => {
      if (!runtime || runtime.options.length === 0) return null;
      const set = (it as Fields | undefined) ?? {};
      return (
        <fieldset>
          <legend>Settings of {runtime.name}</legend>
          {runtime.options.map((option) => <OptionField key={option.id} option={option} value={set[option.id]} onChange={(next) => { const { [option.id]: _, ...rest } = set; change(next === undefined ? rest : { ...rest, [option.id]: next }); }} />)}
          {wrong ? <span class="problem">{wrong}</span> : null}
        </fieldset>
      );
    },
  } : {};
  /** The fields that are not as they were, and as they are now. */
  const changed = (): Fields => {
    const names = [...new Set([...Object.keys(value), ...Object.keys(before)])];
    return Object.fromEntries(names.filter((name) => JSON.stringify(value[name]) !== JSON.stringify(before[name])).map((name) => [name, value[name]]));
  };
  const save = async () => {
    setBusy(true);
    setError(null);
    try {
      if (!known) {
        const made = await post<Template>(kind.path, value);
        toast(`${made.name} was made`);
        go(`${kind.path}/${made.id}`);
        return;
      }
      const body: Fields = { version: known.version };
      for (const [name, now] of Object.entries(changed())) {
        if (name === "metadata") {
          // Labels are merged, and an empty one is deleted.
          const gone = Object.keys((before.metadata as Fields | undefined) ?? {}).map((key) => [key, ""]);
          body.metadata = { ...Object.fromEntries(gone), ...((now as Fields | undefined) ?? {}) };
        } else body[name] = now === undefined ? emptied(before[name]) : now;
      }
      await call("PUT", `${kind.path}/${known.id}`, { body });
      toast("Saved");
      onSaved?.();
    } catch (failed) {
      setError(failed);
    } finally {
      setBusy(false);
    }
  };
  const conflict = error instanceof ApiError && error.status === 409;
  return (
    <main class="page narrow">
      <PageHead title={title} hint={known ? `version ${known.version}, changed ${ago(known.updated_at)}${known.archived_at ? ", archived" : ""}` : kind.hint}>
        <a class="button quiet" href={`#${kind.path}`}><Icon name="left" />All {kind.many.toLowerCase()}</a>
      </PageHead>
      <form class="form" onSubmit={(event) => { event.preventDefault(); void save(); }}>
        <SchemaForm schema={resolved(schemas[kind.create] ?? {}, schemas)} all={schemas} value={value} onChange={setValue} errors={errors} special={special} order={kind.order} leave={["type"]} />
        {known && kind === ENVIRONMENTS ? <p class="note">Secret variables never come out again. Those that you add here replace all that there were.</p> : null}
        {children}
        <ErrorNote error={error} again="Reload" retry={conflict && known ? () => { typed.set(known.id, changed()); onSaved?.(); } : undefined} />
        <footer>
          {known?.archived_at ? <span class="dim">Archived: it takes no changes.</span> : <button class="primary" disabled={busy}>{busy ? "Saving…" : known ? "Save" : `Make the ${kind.one}`}</button>}
          {known && kind === AGENTS && !known.archived_at ? <a class="button" href="#/new" onClick={() => sessionStorage.setItem("aod.new", JSON.stringify({ agent: known.id }))}>New session with it</a> : null}
          <span class="grow" />
          {onArchive ? <button type="button" class="danger quiet" onClick={onArchive}>Archive</button> : null}
        </footer>
      </form>
    </main>
  );
}

/** What says that a field is to be empty again. */
function emptied(before: unknown): unknown {
  if (Array.isArray(before)) return [];
  return null;
}
