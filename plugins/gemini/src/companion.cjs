// Loaded into the CLI by NODE_OPTIONS, before its own code. It keeps the workspace's settings from
// being obeyed, keeps a session from being lost when it is loaded, and tells among the CLI's own
// lines, as JSON-RPC notifications, what it asks the model for and what comes of that: when it is
// spoken to, the CLI leaves out what tools are given and give, most of the tokens, and all that goes
// wrong. `facts` stands above.
"use strict";

const fs = require("node:fs");
const { join, resolve } = require("node:path");

// Nothing that the CLI starts is to load this.
if (process.env.AOD_NODE_OPTIONS) process.env.NODE_OPTIONS = process.env.AOD_NODE_OPTIONS;
else delete process.env.NODE_OPTIONS;
delete process.env.AOD_NODE_OPTIONS;

// The CLI puts another function in its place.
const write = process.stdout.write.bind(process.stdout);
const tell = (params) =>
  write(JSON.stringify({ jsonrpc: "2.0", method: "_aod/model", params }) + "\n");

// ---- settings of the workspace ------------------------------------------------------------------

let starts = true;
if (facts.hidden.length > 0) {
  const hidden = new Set(facts.hidden);
  const isHidden = (path) => starts && typeof path === "string" && hidden.has(resolve(path));
  const missing = (path) =>
    Object.assign(new Error(`ENOENT: no such file or directory, open '${path}'`), {
      code: "ENOENT",
      errno: -2,
    });
  const { existsSync, readFileSync } = fs;
  const { readdir } = fs.promises;
  fs.existsSync = (path) => !isHidden(path) && existsSync(path);
  fs.readFileSync = (path, ...more) => {
    if (isHidden(path)) throw missing(path);
    return readFileSync(path, ...more);
  };
  fs.promises.readdir = async (path, ...more) => {
    if (isHidden(path)) throw missing(path);
    return readdir(path, ...more);
  };
  require("node:module").syncBuiltinESMExports();
}

// ---- sessions -----------------------------------------------------------------------------------

// A session that is loaded within the minute of its beginning, which is in its file's name, is
// overwritten: it gets the name of an earlier one.
if (facts.loads) {
  const name = (time) =>
    `session-${time.toISOString().slice(0, 16).replace(":", "-")}-${facts.loads.slice(0, 8)}.jsonl`;
  const folders = (folder) => {
    try {
      return fs.readdirSync(folder);
    } catch {
      return [];
    }
  };
  const sessions = join(facts.home, "tmp");
  for (const folder of folders(sessions)) {
    const time = new Date();
    const at = () => join(sessions, folder, "chats", name(time));
    const now = at();
    if (!fs.existsSync(now)) continue;
    do time.setUTCMinutes(time.getUTCMinutes() - 1);
    while (fs.existsSync(at()));
    fs.renameSync(now, at());
  }
}

// ---- the model ----------------------------------------------------------------------------------

// What tools have given, and which MCP servers have tools on offer.
function asked(body) {
  // Most of what is asked is the CLI's own instructions, and reading them takes the prompt's time.
  if (facts.servers.length === 0 && typeof body === "string" && !body.includes('"functionResponse"')) {
    return { results: [], servers: [] };
  }
  let asked = {};
  try {
    asked = JSON.parse(body);
  } catch {}
  const parts = asked.contents?.at(-1)?.parts ?? [];
  const results = parts
    .filter((part) => part.functionResponse)
    .map(({ functionResponse: { id, name, response } }) => ({
      id,
      name,
      output: response?.output ?? response?.error ?? JSON.stringify(response ?? null),
    }))
    .map((result) => ({ ...result, output: String(result.output) }));
  const names = (asked.tools ?? []).flatMap((tool) => tool.functionDeclarations ?? []);
  const has = (prefix) => names.some(({ name }) => name.startsWith(prefix));
  return { results, servers: facts.servers.filter(({ prefix }) => has(prefix)).map((it) => it.name) };
}

// What a reply says, as it comes.
class Reply {
  constructor(isStream) {
    Object.assign(this, { isStream, rest: "", text: new TextDecoder() });
    this.told = {
      type: "reply",
      is_stream: isStream,
      has_text: false,
      has_thoughts: false,
      has_calls: false,
    };
  }

  take(bytes) {
    this.rest += this.text.decode(bytes, { stream: true });
    if (!this.isStream) return;
    const lines = this.rest.split("\n");
    this.rest = lines.pop();
    for (const line of lines) if (line.startsWith("data:")) this.read(line.slice(5));
  }

  read(json) {
    let said;
    try {
      said = JSON.parse(json);
    } catch {
      return;
    }
    const candidate = said.candidates?.[0];
    for (const part of candidate?.content?.parts ?? []) {
      if (part.functionCall) {
        this.told.has_calls = true;
        const { id, name, args } = part.functionCall;
        if (facts.tells) tell({ type: "call", id, name, input: args ?? {} });
      } else if (part.text?.trim()) {
        this.told[part.thought ? "has_thoughts" : "has_text"] = true;
      }
    }
    this.told.finish = candidate?.finishReason ?? said.promptFeedback?.blockReason ?? this.told.finish;
    this.told.model = said.modelVersion ?? this.told.model;
    this.told.usage = said.usageMetadata ?? this.told.usage;
  }

  end() {
    if (!this.isStream || this.rest.startsWith("data:")) this.read(this.rest.replace(/^data:/, ""));
    tell(this.told);
  }
}

const failed = (error) => {
  if (error?.name === "AbortError") return;
  const message = String(error?.cause?.message ?? error?.message ?? error);
  tell({ type: "failed", message });
};

// How long an answer asks to be left alone for, in seconds.
function wait(response, body) {
  const details = body?.error?.details?.find?.((it) => it.retryDelay);
  const asked = Number.parseFloat(response.headers.get("retry-after") ?? details?.retryDelay);
  return Number.isFinite(asked) ? asked : undefined;
}

const fetch = globalThis.fetch;
globalThis.fetch = async (input, init) => {
  const url = typeof input === "string" ? input : (input?.url ?? String(input));
  const [, model, method] = /\/models\/([^/:]+):(generateContent|streamGenerateContent)\b/.exec(url) ?? [];
  if (!model) return fetch(input, init);
  starts = false;
  const isStream = method === "streamGenerateContent";
  tell({ type: "request", is_stream: isStream, ...asked(init?.body) });
  let response;
  try {
    response = await fetch(input, init);
  } catch (error) {
    failed(error);
    throw error;
  }
  if (!response.ok) {
    const text = await response.clone().text().catch(() => "");
    let body;
    try {
      body = JSON.parse(text);
      body = body[0] ?? body;
    } catch {}
    const seconds = wait(response, body);
    tell({
      type: "failed",
      status: response.status,
      message: body?.error?.message ?? (text.slice(0, 1000) || response.statusText),
      retry_at: seconds === undefined ? undefined : Math.ceil(Date.now() + seconds * 1000),
    });
    return response;
  }
  if (!response.body) return response;
  const reply = new Reply(isStream);
  reply.told.model = model;
  const reader = response.body.getReader();
  const source = {
    async pull(controller) {
      try {
        const { done, value } = await reader.read();
        if (done) {
          reply.end();
          controller.close();
        } else {
          reply.take(value);
          controller.enqueue(value);
        }
      } catch (error) {
        failed(error);
        controller.error(error);
      }
    },
    cancel: (reason) => reader.cancel(reason),
  };
  // Nothing is read before the CLI wants it, so that it is told in time.
  const body = new ReadableStream(source, { highWaterMark: 0 });
  const { status, statusText, headers } = response;
  return new Response(body, { status, statusText, headers });
};
