// The API's own description, from which forms are made.

import { get } from "./api";

export interface Schema {
  $ref?: string;
  type?: string | (string | null)[];
  description?: string;
  enum?: (string | null)[];
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: Schema | boolean;
  items?: Schema;
  oneOf?: Schema[];
  anyOf?: Schema[];
  allOf?: Schema[];
  examples?: unknown[];
  maxLength?: number;
  minimum?: number;
  maximum?: number;
  writeOnly?: boolean;
}

export interface Content {
  schema?: Schema;
  example?: unknown;
}

export interface Parameter {
  name: string;
  in: string;
  required?: boolean;
  description?: string;
  schema?: Schema;
}

export interface Operation {
  operationId?: string;
  summary?: string;
  description?: string;
  tags?: string[];
  parameters?: Parameter[];
  requestBody?: { content?: Record<string, Content> };
  responses?: Record<string, { description?: string; content?: Record<string, Content> }>;
}

interface Document {
  tags?: { name: string; description?: string }[];
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema> };
}

let document_: Promise<Document> | null = null;
export function description(): Promise<Document> {
  document_ ??= get<Document>("/openapi.json").catch((error: unknown) => {
    document_ = null;
    throw error;
  });
  return document_;
}

/** A schema without references and without "or null". */
export function resolved(schema: Schema, all: Record<string, Schema>): Schema {
  let found = schema;
  for (let n = 0; n < 8; n++) {
    const name = found.$ref?.split("/").at(-1);
    if (name && all[name]) found = { ...all[name], description: found.description ?? all[name].description };
    else if (found.oneOf?.length === 2 && found.oneOf.some((it) => it.type === "null")) {
      const other = found.oneOf.find((it) => it.type !== "null");
      if (!other) break;
      found = { ...other, description: found.description ?? other.description };
    } else break;
  }
  return found;
}

export const typeOf = (schema: Schema): string =>
  (Array.isArray(schema.type) ? schema.type.find((it) => it !== "null") : schema.type) ?? "any";
