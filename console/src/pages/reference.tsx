// The API's reference, as the server describes itself in /openapi.json.

import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { type Operation, type Schema, description, typeOf } from "../lib/schema";
import { route } from "../lib/router";
import { CopyButton, ErrorNote, Loading, PageHead } from "../ui/basics";
import { Markdown, pretty } from "../ui/text";

type All = Record<string, Schema>;
interface Named { id: string; method: string; path: string; tag: string; operation: Operation }

const METHODS = ["get", "post", "put", "patch", "delete"];

export function ReferencePage() {
  const [all, setAll] = useState<{ tags: { name: string; description?: string }[]; operations: Named[]; schemas: All } | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [words, setWords] = useState("");
  const load = () => {
    setError(null);
    description().then((it) => {
      const operations = Object.entries(it.paths).flatMap(([path, item]) => METHODS.flatMap((method) => {
        const operation = item[method];
        return operation ? [{ id: operation.operationId ?? `${method} ${path}`, method: method.toUpperCase(), path, tag: operation.tags?.[0] ?? "other", operation }] : [];
      }));
      setAll({ tags: it.tags ?? [], operations, schemas: it.components.schemas });
    }).catch(setError);
  };
  useEffect(load, []);
  const chosen = route.value.rest[0];
  useEffect(() => {
    if (all && chosen) document.getElementById(chosen)?.scrollIntoView({ block: "start" });
  }, [all, chosen]);
  const fits = useMemo(() => {
    const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
    return (all?.operations ?? []).filter((it) => {
      const text = `${it.method} ${it.path} ${it.operation.summary ?? ""} ${it.operation.description ?? ""}`.toLowerCase();
      return wanted.every((word) => text.includes(word));
    });
  }, [all, words]);
  return (
    <main class="page reference">
      <PageHead title="API" hint={<>Everything here is done by it, with a token as <code>Authorization: Bearer aod_…</code>. <a href="/openapi.json" target="_blank" rel="noopener">openapi.json</a> has all of it for generators of clients.</>} />
      <ErrorNote error={error} retry={load} />
      {!all && !error ? <Loading /> : null}
      {all ? <input type="search" data-search aria-label="Search operations" placeholder="Search operations" value={words} onInput={(event) => setWords(event.currentTarget.value)} /> : null}
      {all && fits.length === 0 ? <p class="dim" role="status">No operation fits.</p> : null}
      {all?.tags.map((tag) => {
        const operations = fits.filter((it) => it.tag === tag.name);
        if (operations.length === 0) return null;
        return (
          <section key={tag.name} aria-label={tag.name}>
            <h2>{tag.name}</h2>
            {tag.description ? <p class="dim">{tag.description}</p> : null}
            {operations.map((it) => <One key={it.id} it={it} all={all.schemas} open={it.id === chosen} />)}
          </section>
        );
      })}
    </main>
  );
}

function One({ it, all, open: opened }: { it: Named; all: All; open: boolean }) {
  const [open, setOpen] = useState(opened);
  useEffect(() => { if (opened) setOpen(true); }, [opened]);
  const { operation } = it;
  const about = (operation.summary ?? operation.description ?? "").split("\n\n")[0];
  return (
    <details id={it.id} class="card operation" open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary><code class={`method ${it.method.toLowerCase()}`}>{it.method}</code> <code class="path">{it.path.split("/").flatMap((part, n) => (n === 0 ? [part] : ["/", <wbr key={n} />, part]))}</code><span class="dim about">{about}</span></summary>
      {open ? <Body it={it} all={all} /> : null}
    </details>
  );
}

function Body({ it, all }: { it: Named; all: All }) {
  const { operation } = it;
  const text = operation.description && operation.description !== operation.summary ? operation.description : "";
  const bodies = Object.entries(operation.requestBody?.content ?? {});
  const parameters = operation.parameters ?? [];
  return (
    <div class="operation-body">
      {text ? <Markdown text={text} done owner={operation} /> : null}
      <p class="row wrap"><a href={`#/api/${encodeURIComponent(it.id)}`}>Link to it</a><CopyButton text={() => curl(it)} label="Copy a command for it" /></p>
      {parameters.length > 0 ? <Table title="Parameters" rows={parameters.map((one) => ({ key: `${one.in} ${one.name}`, name: one.name, more: one.in, required: one.required === true, schema: one.schema ?? {}, about: one.description }))} all={all} /> : null}
      {bodies.map(([kind, content]) => (
        <div key={kind}>
          <h3>Body <span class="dim tiny">{kind}</span></h3>
          <SchemaView schema={content.schema ?? {}} all={all} />
          <Example schema={content.schema} all={all} given={content.example} />
        </div>
      ))}
      <h3>Replies</h3>
      {Object.entries(operation.responses ?? {}).map(([status, reply]) => (
        <details key={status} class="more">
          <summary><code>{status}</code> <span class="dim">{reply.description}</span></summary>
          {Object.entries(reply.content ?? {}).map(([kind, content]) => <div key={kind}><div class="dim tiny">{kind}</div><SchemaView schema={content.schema ?? {}} all={all} /><Example schema={content.schema} all={all} given={content.example} /></div>)}
        </details>
      ))}
    </div>
  );
}

/** A command that makes the request, with what has to be filled in. */
function curl({ method, path, operation }: Named): string {
  const parts = [`curl -H "Authorization: Bearer $TOKEN" ${location.origin}${path}`];
  if (method !== "GET") parts.push(`-X ${method}`);
  if (operation.requestBody?.content?.["application/json"]) parts.push("-H 'content-type: application/json' -d '{}'");
  return parts.join(" ");
}

interface Line { key: string; name: string; more?: string; required: boolean; schema: Schema; about?: string }

function Table({ title, rows, all }: { title: string; rows: Line[]; all: All }) {
  return (
    <>
      <h3>{title}</h3>
      <dl class="fields">
        {rows.map((it) => (
          <div key={it.key}>
            <dt><code>{it.name}</code> <span class="dim tiny">{it.more ? `${it.more}, ` : ""}{typeName(it.schema)}{it.required ? ", required" : ""}</span></dt>
            <dd>{it.about ?? it.schema.description}<Bounds schema={it.schema} /><Inner schema={it.schema} all={all} /></dd>
          </div>
        ))}
      </dl>
    </>
  );
}

const reference = (schema: Schema): string | null => schema.$ref?.split("/").at(-1) ?? null;

function typeName(schema: Schema): string {
  const named = reference(schema);
  if (named) return named;
  const several = schema.oneOf ?? schema.anyOf;
  if (several) return several.map(typeName).join(" or ");
  if (schema.allOf) return schema.allOf.map(typeName).join(" and ");
  const type = typeOf(schema);
  if (type === "array" && schema.items) return `list of ${typeName(schema.items)}`;
  const nullable = Array.isArray(schema.type) && schema.type.includes("null");
  return nullable ? `${type} or null` : type;
}

function Bounds({ schema }: { schema: Schema }) {
  const words: ComponentChildren[] = [];
  if (schema.enum) words.push(<>one of {schema.enum.filter((it) => it !== null).map((it, n) => <>{n > 0 ? ", " : ""}<code>{String(it)}</code></>)}</>);
  if (schema.minimum !== undefined && schema.maximum !== undefined) words.push(`${schema.minimum} to ${schema.maximum}`);
  else if (schema.minimum !== undefined) words.push(`${schema.minimum} or more`);
  if (schema.maxLength !== undefined) words.push(`at most ${schema.maxLength} characters`);
  return words.length > 0 ? <div class="dim tiny">{words.map((it, n) => <>{n > 0 ? "; " : ""}{it}</>)}</div> : null;
}

/** The schemas that a schema names, each in a fold of its own: they may name one another in circles. */
function Inner({ schema, all }: { schema: Schema; all: All }) {
  const names = new Set<string>();
  const waiting = [schema];
  for (let next = waiting.pop(); next && names.size < 12; next = waiting.pop()) {
    const name = reference(next);
    if (name) names.add(name);
    if (next.items) waiting.push(next.items);
    if (typeof next.additionalProperties === "object") waiting.push(next.additionalProperties);
    waiting.push(...(next.oneOf ?? []), ...(next.anyOf ?? []), ...(next.allOf ?? []));
  }
  return <>{[...names].map((name) => <Fold key={name} name={name} all={all} />)}</>;
}

function Fold({ name, all }: { name: string; all: All }) {
  const [open, setOpen] = useState(false);
  const schema = all[name];
  if (!schema) return null;
  return (
    <details class="more" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{name}</summary>
      {open ? <SchemaView schema={schema} all={all} /> : null}
    </details>
  );
}

/** A schema without "or null" around it. */
function given(schema: Schema): Schema {
  const others = schema.oneOf?.filter((it) => it.type !== "null");
  return others?.length === 1 && others.length < (schema.oneOf?.length ?? 0) ? (others[0] ?? schema) : schema;
}

function SchemaView({ schema: or, all }: { schema: Schema; all: All }) {
  const schema = given(or);
  const name = reference(schema);
  const found = (name && all[name]) || schema;
  const properties = Object.entries(found.properties ?? {});
  return (
    <div class="schema">
      {name || found.description ? <p class="dim">{name ? <strong>{name} </strong> : null}{found.description}</p> : null}
      {properties.length > 0 ? (
        <Table title="Fields" all={all} rows={properties.map(([field, one]) => ({ key: field, name: field, required: found.required?.includes(field) === true, schema: one }))} />
      ) : <><div class="dim tiny">{typeName(found)}</div><Bounds schema={found} /></>}
      {properties.length === 0 || found.oneOf || found.allOf ? <Inner schema={{ oneOf: found.oneOf, anyOf: found.anyOf, allOf: found.allOf, items: found.items }} all={all} /> : null}
    </div>
  );
}

function Example({ schema: or, all, given: shown }: { schema?: Schema; all: All; given?: unknown }) {
  const schema = or && given(or);
  const name = schema ? reference(schema) : null;
  const example = shown ?? schema?.examples?.[0] ?? (name ? all[name]?.examples?.[0] : undefined);
  if (example === undefined) return null;
  const text = pretty(example);
  return <div class="output"><pre class="code" tabIndex={0} aria-label="Example">{text}</pre><div class="output-tools"><CopyButton text={text} label="Copy the example" /></div></div>;
}
