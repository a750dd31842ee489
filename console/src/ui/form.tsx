// A form that is made from a schema of the API.

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { type Schema, resolved, typeOf } from "../lib/schema";
import { Field } from "./basics";
import { Icon } from "./icons";

export type Fields = Record<string, unknown>;

/** Fields that the page shows in its own way, by name. */
export type Special = Record<string, (value: unknown, change: (value: unknown) => void, error: string | undefined) => ComponentChildren>;

export function labelOf(name: string): string {
  const words = name.replaceAll("_", " ").replace(/\bmcp\b/, "MCP").replace(/\bid\b/, "").replace(/\benv vars\b/, "secret variables").replace(/^vars$/, "variables").replace(/^system$/, "system prompt").trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export function SchemaForm({ schema, all, value, onChange, errors, special = {}, path = "", order, leave = [] }: {
  schema: Schema; all: Record<string, Schema>; value: Fields; onChange: (value: Fields) => void; errors: Map<string, string>;
  special?: Special; path?: string; order?: string[]; leave?: string[];
}) {
  const properties = schema.properties ?? {};
  const names = Object.keys(properties).filter((it) => !leave.includes(it));
  const rank = (name: string) => {
    const at = order?.indexOf(name) ?? -1;
    return at < 0 ? 1000 : at;
  };
  names.sort((a, b) => rank(a) - rank(b));
  return (
    <>
      {names.map((name) => {
        const here = path ? `${path}.${name}` : name;
        const change = (next: unknown) => {
          const { [name]: _, ...rest } = value;
          onChange(next === undefined ? rest : { ...rest, [name]: next });
        };
        const own = special[here];
        if (own) return <div key={name}>{own(value[name], change, errors.get(here))}</div>;
        const property = resolved(properties[name] ?? {}, all);
        const needed = schema.required?.includes(name) === true;
        return <Property key={name} name={name} path={here} schema={property} all={all} needed={needed} value={value[name]} onChange={change} errors={errors} />;
      })}
    </>
  );
}

function Property({ name, path, schema, all, needed, value, onChange, errors }: {
  name: string; path: string; schema: Schema; all: Record<string, Schema>; needed: boolean; value: unknown; onChange: (value: unknown) => void; errors: Map<string, string>;
}) {
  const type = typeOf(schema);
  const label = labelOf(name);
  const hint = schema.description?.replace(/`([^`]+)`/g, "$1").replace(/\n/g, " ");
  const error = errors.get(path);
  const words = schema.enum?.filter((it): it is string => it !== null);
  if (words) {
    return (
      <Field label={label} hint={hint} error={error}>
        <select value={typeof value === "string" ? value : ""} onChange={(event) => onChange(event.currentTarget.value || undefined)}>
          <option value="">{needed ? "Choose" : "As the server has it"}</option>
          {words.map((it) => <option key={it} value={it}>{it}</option>)}
        </select>
      </Field>
    );
  }
  if (type === "boolean") {
    return <label class="check"><input type="checkbox" checked={value === true} onChange={(event) => onChange(event.currentTarget.checked)} /><span>{label}{hint ? <span class="hint dim tiny"> {hint}</span> : null}</span></label>;
  }
  if (type === "integer" || type === "number") {
    return <Field label={label} hint={hint} error={error}><input type="number" step={type === "integer" ? 1 : "any"} min={schema.minimum} max={schema.maximum} value={typeof value === "number" ? value : ""} onInput={(event) => onChange(event.currentTarget.value === "" ? undefined : Number(event.currentTarget.value))} /></Field>;
  }
  if (type === "array" && schema.items && typeOf(resolved(schema.items, all)) === "string") {
    const choices = resolved(schema.items, all).enum?.filter((it): it is string => it !== null);
    const list = Array.isArray(value) ? (value as string[]) : [];
    if (choices) {
      return (
        <fieldset>
          <legend>{label}</legend>
          {hint ? <span class="hint dim tiny">{hint}</span> : null}
          {choices.map((it) => <label class="check" key={it}><input type="checkbox" checked={list.includes(it)} onChange={(event) => onChange(event.currentTarget.checked ? [...list, it] : list.filter((one) => one !== it))} />{it}</label>)}
          {error ? <span class="problem" role="alert">{error}</span> : null}
        </fieldset>
      );
    }
    const problem = error ?? [...errors].find(([at]) => at.startsWith(`${path}.`))?.[1];
    return <Field label={label} hint={`${hint ?? ""} One a line.`.trim()} error={problem}><Lines value={list} onChange={(next) => onChange(next.length > 0 || value !== undefined ? next : undefined)} /></Field>;
  }
  if (type === "object" && schema.properties) {
    return (
      <fieldset>
        <legend>{label}</legend>
        {hint ? <span class="hint dim tiny">{hint}</span> : null}
        <SchemaForm schema={schema} all={all} path={path} value={(value as Fields | undefined) ?? {}} onChange={(next) => onChange(Object.keys(next).length > 0 ? next : undefined)} errors={errors} />
        {error ? <span class="problem" role="alert">{error}</span> : null}
      </fieldset>
    );
  }
  if (type === "object" && typeof schema.additionalProperties === "object" && typeOf(schema.additionalProperties) === "string") {
    return <Pairs label={label} hint={hint} secret={schema.additionalProperties.writeOnly === true} value={(value as Record<string, string> | undefined) ?? {}} onChange={onChange} errors={errors} path={path} />;
  }
  if (type === "string") {
    const long = (schema.maxLength ?? 0) > 2000;
    return (
      <Field label={label} hint={hint} error={error}>
        {long ? <textarea rows={name === "description" ? 2 : 6} spellcheck={false} value={typeof value === "string" ? value : ""} onInput={(event) => onChange(event.currentTarget.value || undefined)} />
          : <input type={(schema.writeOnly ? "password" : "text") as "text"} autocomplete="off" required={needed && !path.includes(".")} maxLength={schema.maxLength} value={typeof value === "string" ? value : ""} onInput={(event) => onChange(event.currentTarget.value || undefined)} />}
      </Field>
    );
  }
  const problem = error ?? [...errors].filter(([at]) => at.startsWith(`${path}.`)).map(([at, text]) => `${at.slice(path.length + 1)}: ${text}`).join("; ");
  return <Field label={label} hint={`${hint ?? ""} As JSON.`} error={problem || undefined}><Json value={value} onChange={onChange} /></Field>;
}

function Lines({ value, onChange }: { value: string[]; onChange: (value: string[]) => void }) {
  const [text, setText] = useState(value.join("\n"));
  return <textarea rows={Math.min(8, Math.max(2, value.length + 1))} spellcheck={false} value={text} onInput={(event) => {
    setText(event.currentTarget.value);
    onChange(event.currentTarget.value.split("\n").map((it) => it.trim()).filter(Boolean));
  }} />;
}

function Json({ value, onChange }: { value: unknown; onChange: (value: unknown) => void }) {
  const [text, setText] = useState(value === undefined ? "" : JSON.stringify(value, null, 2));
  const [wrong, setWrong] = useState(false);
  return (
    <>
      <textarea rows={text ? 8 : 2} spellcheck={false} placeholder="[]" value={text} class="mono" aria-invalid={wrong} onInput={(event) => {
        const next = event.currentTarget.value;
        setText(next);
        try {
          onChange(next.trim() ? JSON.parse(next) : undefined);
          setWrong(false);
        } catch {
          setWrong(true);
        }
      }} />
      {wrong ? <span class="problem">This is no JSON yet.</span> : null}
    </>
  );
}

function Pairs({ label, hint, secret, value, onChange, errors, path }: {
  label: string; hint?: string; secret: boolean; value: Record<string, string>; onChange: (value: unknown) => void; errors: Map<string, string>; path: string;
}) {
  const [rows, setRows] = useState(Object.entries(value).map(([name, it]) => ({ name, value: it })));
  const keep = (next: { name: string; value: string }[]) => {
    setRows(next);
    onChange(Object.fromEntries(next.filter((it) => it.name).map((it) => [it.name, it.value])));
  };
  return (
    <fieldset>
      <legend>{label}</legend>
      {hint ? <span class="hint dim tiny">{hint}</span> : null}
      {rows.map((row, n) => (
        <div key={n}>
          <div class="row">
            <input aria-label={`Name ${n + 1} of ${label}`} placeholder="name" value={row.name} onInput={(event) => keep(rows.map((it, m) => (m === n ? { ...it, name: event.currentTarget.value } : it)))} />
            <input class="grow" aria-label={`Value ${n + 1} of ${label}`} placeholder="value" type={(secret ? "password" : "text") as "text"} autocomplete="off" value={row.value} onInput={(event) => keep(rows.map((it, m) => (m === n ? { ...it, value: event.currentTarget.value } : it)))} />
            <button type="button" class="quiet icon-only" aria-label={`Remove ${row.name || `row ${n + 1}`}`} onClick={() => keep(rows.filter((_, m) => m !== n))}><Icon name="cross" /></button>
          </div>
          {errors.get(`${path}.${row.name}`) ? <span class="problem" role="alert">{errors.get(`${path}.${row.name}`)}</span> : null}
        </div>
      ))}
      {errors.get(path) ? <span class="problem" role="alert">{errors.get(path)}</span> : null}
      <div><button type="button" class="small" onClick={() => setRows([...rows, { name: "", value: "" }])}><Icon name="plus" />Add</button></div>
    </fieldset>
  );
}
