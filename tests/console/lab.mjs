// A browser, a server, and what checks ask of them.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const packages = createRequire(`${process.env.AOD_TEST_PACKAGES}/`);
const { chromium } = packages("playwright-core");
export const AXE = packages("axe-core").source;

export const BASE = process.env.AOD_TEST_BASE;
export const TOKEN = process.env.AOD_TEST_TOKEN;
export const MODEL = process.env.AOD_TEST_MODEL;
export const MODEL_INSIDE = process.env.AOD_TEST_MODEL_INSIDE;

/** Milliseconds that something may take on a busy machine. */
export const DEADLINE = 120_000;

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
/** Has the test kill or start the server. */
export async function server(what) {
  process.stdout.write(`@${what}\n`);
  await answers.next();
}

export async function api(method, path, body, token = TOKEN) {
  const reply = await fetch(BASE + path, {
    method,
    headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { "content-type": "application/json" }) },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await reply.text();
  assert.ok(reply.ok, `${method} ${path}: ${reply.status} ${text}`);
  return JSON.parse(text);
}

/** Waits until something is so, and returns it. */
export async function eventually(what, ask) {
  const until = Date.now() + DEADLINE;
  for (;;) {
    const found = await ask();
    if (found) return found;
    if (Date.now() > until) throw new Error(`in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const agents = new Map();
export async function agent(runtime) {
  if (!agents.has(runtime)) {
    const { models } = await api("GET", `/runtimes/${runtime}`);
    agents.set(runtime, (await api("POST", "/agents", { name: `Agent of ${runtime}`, runtime, model: models[0] })).id);
  }
  return agents.get(runtime);
}

/** A session of a runtime, or of the agent that is named besides. */
export async function session(runtime, prompt, more = {}) {
  return (await api("POST", "/sessions", { ...(runtime === null ? {} : { agent_id: await agent(runtime) }), ...(prompt === null ? {} : { prompt }), ...more })).id;
}

export const ended = (id) =>
  eventually(`session ${id} ends`, async () => {
    const found = await api("GET", `/sessions/${id}`);
    return ["completed", "failed", "terminated"].includes(found.status) && found;
  });

/** A script for the raw agent that says these lines. */
export const says = (...lines) => `cat <<'END-OF-LINES'\n${lines.map((it) => JSON.stringify(it)).join("\n")}\nEND-OF-LINES\n`;

/** A prompt for the conversant: what it says, line by line. */
export const conversant = (...lines) => lines.map((it) => (typeof it === "string" ? it : JSON.stringify(it))).join("\n");

/** Begins to count the seconds of a processor that a page's thread takes; call it to have them. */
export async function processorTime(page) {
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Performance.enable", { timeDomain: "threadTicks" });
  const read = async () => (await devtools.send("Performance.getMetrics")).metrics.find((it) => it.name === "TaskDuration").value;
  const begun = await read();
  return async () => (await read()) - begun;
}

export class Lab {
  static async open() {
    const program = ["/usr/lib/chromium/chromium", "/usr/bin/chromium"].find(existsSync);
    const browser = await chromium.launch({ executablePath: program, args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"] });
    return new Lab(browser);
  }

  constructor(browser) {
    this.browser = browser;
    this.problems = [];
    this.urls = [];
  }

  async context(options = {}) {
    const context = await this.browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
    context.setDefaultTimeout(DEADLINE);
    await context.addInitScript(() => {
      window.violations = [];
      document.addEventListener("securitypolicyviolation", (event) => window.violations.push(`${event.effectiveDirective} ${event.blockedURI}`));
    });
    return context;
  }

  /** A page at a place of the console, logged in unless there is no token. */
  async page(hash = "/", { token = TOKEN, context, ...options } = {}) {
    const own = context ?? (await this.context(options));
    const page = await own.newPage();
    page.on("pageerror", (error) => this.problems.push(`${hash}: ${error.message}`));
    page.on("console", (message) => {
      const text = message.text();
      if (message.type() === "error" && !/Failed to load resource|ERR_/.test(text)) this.problems.push(`${hash}: ${text}`);
    });
    page.on("request", (request) => this.urls.push(request.url()));
    if (token) await page.addInitScript((value) => {
      if (!sessionStorage.getItem("given")) {
        sessionStorage.setItem("given", "yes");
        sessionStorage.setItem("aod.token", value);
      }
    }, token);
    await page.goto(`${BASE}/#${hash}`);
    return page;
  }

  /** Ends a page, which must have kept to its policy. */
  async close(page) {
    const violations = await page.evaluate(() => window.violations ?? []);
    assert.deepEqual(violations, [], "the policy was violated");
    await page.context().close();
  }

  /** Closes what a check that failed has left. */
  async closeAll() {
    for (const context of this.browser.contexts()) await context.close();
  }

  async end() {
    await this.browser.close();
    assert.deepEqual(this.problems, [], "pages had errors");
    const leaks = this.urls.filter((url) => url.includes(TOKEN) || !(url.startsWith(BASE) || url.startsWith("blob:")));
    assert.deepEqual(leaks, [], "a token in an address, or a request to another host");
  }
}
