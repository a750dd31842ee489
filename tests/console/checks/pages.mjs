import assert from "node:assert/strict";
import { AXE, BASE, TOKEN, api, conversant, ended, eventually, says, session } from "../lab.mjs";

const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types aod";

/** The control of a field, by its label. */
const field = (label, control) => `.field:has(> .label:text-is("${label}")) ${control}`;

/** What axe has against a page as it is now. */
async function violations(page) {
  await page.evaluate(AXE);
  const { violations: found } = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"], runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"] }));
  return found.map((it) => `${it.id}: ${it.nodes.map((node) => node.html.slice(0, 160)).slice(0, 3).join(" | ")}`);
}

export const checks = {
  async "files are served as they should be"() {
    const page = await fetch(BASE);
    assert.equal(page.headers.get("content-security-policy"), POLICY);
    assert.equal(page.headers.get("cache-control"), "no-cache");
    assert.equal(page.headers.get("x-content-type-options"), "nosniff");
    assert.equal(page.headers.get("cross-origin-opener-policy"), "same-origin");
    const names = [...(await page.text()).matchAll(/"(\/assets\/[^"]+)"/g)].map((it) => it[1]);
    assert.ok(names.length >= 4);
    for (const name of names) {
      const file = await fetch(BASE + name, { headers: { "accept-encoding": "gzip, br" } });
      assert.equal(file.status, 200, name);
      assert.match(file.headers.get("cache-control"), /immutable/);
      assert.equal(file.headers.get("content-encoding"), "br", name);
    }
    for (const path of ["/assets/main.0000000000.js", "/assets/", "/index.html", "/assets/..%2findex.html"]) {
      const missing = await fetch(BASE + path);
      assert.equal(missing.status, 404, path);
      assert.ok((await missing.json()).detail, path);
    }
  },

  async "a token logs in, and a live session is two presses away"(lab) {
    const id = await session("demo", "sleep 4\nhello", { title: "The live one" });
    const page = await lab.page("/", { token: null });
    await page.fill("input[name=token]", "aod_wrong");
    await page.click("button:has-text('Log in')");
    await page.waitForSelector("text=unknown, expired or revoked");
    await page.fill("input[name=token]", TOKEN);
    await page.click("button:has-text('Log in')");
    await page.click(`[data-session="${id}"]`);
    await page.waitForSelector(".bubble:has-text('hello')");
    assert.equal(await page.evaluate(() => sessionStorage.getItem("aod.token")), TOKEN);
    assert.equal(await page.evaluate(() => document.cookie), "");
    await lab.close(page);
  },

  async "a login link is good once and leaves no trace"(lab) {
    const { code } = await api("POST", "/login/codes");
    const page = await lab.page(`login=${code}`, { token: null });
    await page.waitForSelector("h1:has-text('Sessions')");
    assert.ok(!page.url().includes(code));
    const token = await page.evaluate(() => sessionStorage.getItem("aod.token"));
    assert.ok(token.startsWith("aod_") && token !== TOKEN);
    const again = await lab.page(`login=${code}`, { token: null });
    await again.waitForSelector("text=used already");
    await lab.close(again);
    await lab.close(page);
    const proxied = await fetch(`${BASE}/login`, { method: "POST", headers: { "x-forwarded-for": "10.0.0.1" }, body: JSON.stringify({ code }) });
    assert.equal(proxied.status, 422);
  },

  async "a new session is started, and its prompt is kept where it fails"(lab) {
    const page = await lab.page("/new");
    await page.fill("textarea[aria-label=Prompt]", "Say hello, console");
    await page.waitForSelector(field("Runtime", "select"));
    await page.selectOption(field("Runtime", "select"), "demo");
    await page.route("**/sessions", (route) => route.abort());
    await page.click("button:has-text('Start')");
    await page.waitForSelector("text=does not answer");
    assert.equal(await page.inputValue("textarea[aria-label=Prompt]"), "Say hello, console");
    await page.unroute("**/sessions");
    await page.click("button:has-text('Start')");
    await page.waitForSelector(".message:has-text('Say hello, console')");
    await page.waitForSelector(".end-line:has-text('Done')");
    await lab.close(page);
  },

  async "agents and environments are made and changed, and what is wrong stands at its field"(lab) {
    const page = await lab.page("/agents/new");
    await page.fill(field("Name", "input"), "Made here");
    await page.fill(field("Model", "input"), "demo/nothing");
    await page.click("button:has-text('Make the agent')");
    await page.waitForSelector("[role=alert]");
    await page.fill(field("Model", "input"), "demo/echo");
    await page.click("button:has-text('Make the agent')");
    await page.waitForSelector("text=version 1");
    await page.fill(field("Description", "textarea"), "Of the console");
    await page.click("button:has-text('Save')");
    await page.waitForSelector("text=version 2");
    await page.click("summary:has-text('2 versions')");
    await page.waitForSelector(".diff tr.add:has-text('Of the console')");
    await page.goto(`${BASE}/#/environments/new`);
    await page.fill(field("Name", "input"), "With a secret");
    const secrets = page.locator("fieldset:has(legend:text-is('Secret variables'))");
    await secrets.locator("button:has-text('Add')").click();
    await secrets.locator("input").nth(0).fill("HOME");
    await secrets.locator("input").nth(1).fill("x");
    await page.click("button:has-text('Make the environment')");
    await page.waitForSelector("[role=alert]");
    await secrets.locator("input").nth(0).fill("API_KEY");
    await page.click("button:has-text('Make the environment')");
    await page.waitForSelector("text=version 1");
    const made = (await api("GET", "/environments")).data.find((it) => it.name === "With a secret");
    assert.ok(made && !JSON.stringify(made).includes("API_KEY"));
    await lab.close(page);
  },

  async "what somebody else changed meanwhile is told, and what was typed is put over it"(lab) {
    const { models } = await api("GET", "/runtimes/demo");
    const agent = await api("POST", "/agents", { name: "Changed twice", runtime: "demo", model: models[0] });
    const page = await lab.page(`/agents/${agent.id}`);
    await page.fill(field("System prompt", "textarea"), "Typed here");
    await api("PUT", `/agents/${agent.id}`, { version: agent.version, description: "Written elsewhere" });
    await page.click("button:has-text('Save')");
    await page.waitForSelector("[role=alert]:has-text('What you typed is kept')");
    await page.click("[role=alert] button:has-text('Reload')");
    await page.waitForSelector("text=version 2");
    await page.waitForFunction(() => [...document.querySelectorAll("textarea")].some((it) => it.value === "Written elsewhere"));
    assert.equal(await page.inputValue(field("System prompt", "textarea")), "Typed here");
    await page.click("button:has-text('Save')");
    await page.waitForSelector("text=version 3");
    const { system, description } = await api("GET", `/agents/${agent.id}`);
    assert.deepEqual([system, description], ["Typed here", "Written elsewhere"]);
    await lab.close(page);
  },

  async "a newcomer's empty pages fit a phone"(lab) {
    const { id } = await api("POST", "/users", { name: "newcomer" });
    const { token } = await api("POST", `/users/${id}/tokens`, { name: "first" });
    const found = [];
    const page = await lab.page("/sessions", { token, viewport: { width: 360, height: 760 } });
    for (const place of ["/sessions", "/new", "/agents", "/environments", "/credentials", "/runtimes", "/webhooks", "/server", "/users", "/s/00000000-0000-0000-0000-000000000000"]) {
      await page.evaluate((hash) => (location.hash = hash), place);
      await page.waitForSelector("main h1, main h2, main [role=alert]");
      await eventually("nothing is loading", async () => (await page.$(".loading")) === null);
      found.push(...await page.evaluate((at) => {
        const scrolls = (it) => it !== null && (/auto|scroll/.test(getComputedStyle(it).overflowX) && it.tagName !== "MAIN" || scrolls(it.parentElement));
        const out = [];
        for (const it of document.querySelectorAll("main *")) {
          const box = it.getBoundingClientRect();
          if (box.width > 0 && (box.left < -0.5 || box.right > innerWidth + 0.5) && !scrolls(it.parentElement) && !it.closest(".sr-only")) out.push(`${at}: ${it.tagName} ${it.className} from ${box.left} to ${box.right}`);
          if (it.tagName === "PRE" && !/left|start/.test(getComputedStyle(it).textAlign)) out.push(`${at}: code is not set from the left`);
        }
        return out;
      }, place));
    }
    assert.deepEqual(found, []);
    await page.evaluate(() => (location.hash = "/sessions"));
    await page.waitForSelector(".steps li:not(.done):has-text('A key is registered')");
    await page.waitForSelector("a:has-text('Start the first session')");
    await lab.close(page);
  },

  async "a credential is registered and doubted, and never comes out"(lab) {
    const page = await lab.page("/credentials");
    await page.selectOption(field("What it is", "select"), "custom");
    await page.fill(field("Name of the variable", "input"), "MY_TOKEN");
    await page.fill("input[type=password]", " padded-secret-value");
    await page.waitForSelector("text=There are blanks around it");
    await page.fill("input[type=password]", "padded-secret-value");
    await page.click("button:has-text('Register')");
    await page.waitForSelector("code:has-text('env:MY_TOKEN')");
    assert.ok(!(await page.content()).includes("padded-secret-value"));
    await lab.close(page);
    const id = await session("demo", "$ test -n \"$MY_TOKEN\" && echo it-is-there");
    await ended(id);
    const events = await api("GET", `/sessions/${id}/events?tail=50`);
    assert.ok(JSON.stringify(events).includes("it-is-there"));
  },

  async "files are seen, changed, uploaded and downloaded"(lab) {
    const id = await session("demo", "$ printf 'one\\ntwo\\n' >a.txt; mkdir d; echo deep >d/b.txt; printf '<script>alert(1)</script>' >evil.html");
    await ended(id);
    const page = await lab.page(`/s/${id}`);
    await page.click("[aria-label='Changes, files, details']");
    await page.click("#tab-files");
    await page.click(".entry:has-text('a.txt')");
    await page.waitForSelector("pre.code:has-text('two')");
    await page.click("button:has-text('Edit')");
    await page.fill("textarea.editor", "one\ntwo\nthree\n");
    await page.click(".file-view button:has-text('Save')");
    await page.waitForSelector("pre.code:has-text('three')");
    const file = await fetch(`${BASE}/sessions/${id}/files/a.txt`, { headers: { authorization: `Bearer ${TOKEN}` } });
    assert.equal(await file.text(), "one\ntwo\nthree\n");
    const download = page.waitForEvent("download");
    await page.click("[aria-label='More about the file']");
    await page.click("button:has-text('Download')");
    assert.equal((await download).suggestedFilename(), "a.txt");
    await page.click("[aria-label='Back to the files']");
    await page.click(".entry:has-text('evil.html')");
    await page.waitForSelector("pre.code:has-text('<script>')");
    await page.click("[aria-label='Back to the files']");
    await page.setInputFiles(".files input[type=file]", { name: "up.txt", mimeType: "text/plain", buffer: Buffer.from("uploaded") });
    await page.waitForSelector(".entry:has-text('up.txt')");
    await lab.close(page);
  },

  async "a refused token keeps the draft, and a logout reaches other tabs"(lab) {
    const { id: tokenId, token } = await api("POST", "/tokens", { name: "short" });
    const id = await session("demo", "hello");
    await ended(id);
    const page = await lab.page(`/s/${id}`, { token });
    await page.fill(".composer textarea", "my long words");
    await page.setInputFiles(".composer input[type=file]", { name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("notes") });
    await page.waitForSelector(".composer .chip:has-text('notes.txt')");
    await api("DELETE", `/tokens/${tokenId}`);
    await page.click("[aria-label=Send]");
    await page.waitForSelector(".login-over input[name=token]");
    await page.fill(".login-over input[name=token]", "aod_wrong");
    await page.click(".login-over button:has-text('Log in')");
    await page.waitForSelector(".login-over :text('unknown, expired or revoked')");
    await page.fill(".login-over input[name=token]", TOKEN);
    await page.click(".login-over button:has-text('Log in')");
    await page.waitForSelector(".login-over", { state: "detached" });
    assert.equal(await page.inputValue(".composer textarea"), "my long words");
    assert.equal(await page.locator(".composer .chip:has-text('notes.txt')").count(), 1, "what was attached is kept, too");
    // Another tab needs no login of its own.
    const other = await lab.page("/sessions", { token: null, context: page.context() });
    await other.waitForSelector("h1:has-text('Sessions')");
    await page.click("[aria-label='Log out']");
    await other.waitForSelector("h1:has-text('Log in')");
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
    await lab.close(other);
  },

  async "administrators add users, and others are told that they may not"(lab) {
    const page = await lab.page("/users");
    await page.fill(field("Name of a new one", "input"), "grace");
    await page.click("button:has-text('Add the user')");
    const token = await page.textContent(".secret code");
    await page.waitForSelector("tr:has-text('grace')");
    await page.fill(field("Name of a new one", "input"), "grace");
    await page.click("button:has-text('Add the user')");
    await page.waitForSelector("[role=alert]");
    await lab.close(page);
    const grace = await lab.page("/users", { token });
    await grace.waitForSelector("text=Users are for administrators");
    await grace.evaluate(() => (location.hash = "/server"));
    await grace.waitForSelector("section[aria-label=Limits]:has-text('0 of ')");
    await grace.waitForSelector("text=An administrator sees the server's figures here");
    assert.equal(await grace.$(".login-over"), null);
    await lab.close(grace);
  },

  async "a webhook is added, and its deliveries are seen"(lab) {
    const page = await lab.page("/webhooks");
    await page.click("button:has-text('New webhook')");
    await page.fill(field("URL", "input"), "https://hooks.invalid/aod");
    await page.click("button:has-text('Add it')");
    await page.waitForSelector(".secret code:has-text('whsec_')");
    const card = page.locator(".card:has-text('https://hooks.invalid/aod')");
    await card.locator("button:has-text('Send a test')").click();
    await page.waitForSelector(".toast:has-text('A test is on its way')");
    await card.locator("summary:has-text('Deliveries')").click();
    await card.locator("td:has-text('webhook.test')").waitFor();
    await card.locator("button:has-text('Send again')").click();
    await card.locator("button:has-text('Disable')").click();
    await card.locator(".state:has-text('Disabled')").waitFor();
    await lab.close(page);
  },

  async "the API's reference has each operation, and loads when it is looked at"(lab) {
    const page = await lab.page("/sessions");
    await page.waitForSelector("h1:has-text('Sessions')");
    const before = lab.urls.length;
    await page.evaluate(() => (location.hash = "/api"));
    await page.waitForSelector("details.operation");
    assert.ok(lab.urls.slice(before).some((it) => it.endsWith(".js")), "it is no part of the first load");
    const document = await (await fetch(`${BASE}/openapi.json`)).json();
    const operations = Object.values(document.paths).flatMap((it) => Object.keys(it).filter((method) => ["get", "post", "put", "patch", "delete"].includes(method)));
    assert.equal(await page.locator("details.operation").count(), operations.length);
    await page.fill("[aria-label='Search operations']", "fork");
    await page.click("details.operation:has-text('/fork') > summary");
    await page.waitForSelector(".operation-body dl.fields:has-text('Idempotency-Key')");
    await page.waitForSelector(".operation-body dl.fields dt:has-text('turn')");
    await page.waitForSelector(".operation-body pre:has-text('Try it the other way')");
    await page.evaluate(() => (location.hash = "/api/sessions_restore"));
    await page.fill("[aria-label='Search operations']", "");
    await page.waitForSelector("#sessions_restore[open]");
    await lab.close(page);
  },

  async "eight tabs load"(lab) {
    const context = await lab.context();
    const pages = [];
    for (let n = 0; n < 8; n++) {
      const page = await lab.page("/sessions", { context });
      await page.waitForSelector(".session-row");
      pages.push(page);
    }
    // Browsers keep six connections to a server: with all tabs open, a session still streams.
    const id = await session("demo", "said in the eighth tab");
    await pages[7].click(`[data-session="${id}"]`);
    await pages[7].waitForSelector(".end-line:has-text('Done')");
    await lab.close(pages[7]);
  },

  async "axe finds nothing in either theme, wide or narrow, and nothing scrolls sideways"(lab) {
    const edited = says(
      { demo: "tool", id: "t1", name: "Bash", input: { command: `echo ${"long ".repeat(80)}` } },
      { demo: "tool-result", id: "t1", output: "x".repeat(500), code: 1 },
      { demo: "message", text: `# Title\n\n| a | b |\n|---|---|\n| ${"wide ".repeat(40)} | 2 |\n\n\`\`\`rust\nfn main() { ${"x".repeat(300)} }\n\`\`\`\n\nA [link](https://example.com), ${"verylongword".repeat(40)}\n\n- [ ] task` },
    );
    const id = await session("raw", edited, { title: `A title that is ${"rather ".repeat(12)}long` });
    await ended(id);
    const hook = await api("POST", "/webhooks", { url: "https://example.com/a-path-that-is-rather-long" });
    await api("POST", `/webhooks/${hook.id}/test`);
    const agent = (await api("GET", "/agents")).data[0].id;
    const places = ["/sessions", `/s/${id}`, "/new", "/agents", `/agents/${agent}`, "/agents/new", "/environments", "/environments/new", "/credentials", "/runtimes", "/webhooks", "/server", "/users", "/api"];
    const found = [];
    for (const [colorScheme, width] of [["light", 1280], ["dark", 360], ["dark", 1280], ["light", 360]]) {
      const page = await lab.page("/sessions", { colorScheme, viewport: { width, height: 760 }, reducedMotion: "reduce" });
      await page.waitForSelector(".session-row");
      for (const place of places) {
        await page.evaluate((hash) => (location.hash = hash), place);
        await page.waitForSelector(place.startsWith("/s/") ? ".end-line" : "main h1, main h2");
        await eventually("nothing is loading", async () => (await page.$(".loading")) === null);
        if (place === "/api") await page.click("details.operation:has-text('/fork') > summary");
        if (place === "/runtimes") await page.click("details:has-text('More') summary >> nth=0");
        if (place === "/webhooks") {
          await page.click("summary:has-text('Deliveries')");
          await page.waitForSelector(".table-wrap button:has-text('Send again')");
        }
        found.push(...(await violations(page)).map((it) => `${colorScheme} ${width} ${place}: ${it}`));
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        if (wide > 0) found.push(`${width} ${place} scrolls sideways by ${wide}`);
        // What can be done is in sight without scrolling sideways, in tables as well.
        const beyond = await page.$$eval("main :is(button, a, input, select, textarea)", (all) =>
          all.filter((it) => !it.closest("pre, .diff, .prose") && it.getBoundingClientRect().right > innerWidth).map((it) => it.ariaLabel ?? it.textContent));
        found.push(...beyond.map((it) => `${width} ${place}: ${it} is out of sight`));
      }
      if (width === 360) {
        await page.evaluate((hash) => (location.hash = hash), `/s/${id}`);
        const box = await page.locator(".composer textarea").boundingBox();
        assert.ok(box.y + box.height <= 760 && box.y > 380, "the prompt is in sight");
        await page.click("[aria-label='Changes, files, details']");
        await page.waitForSelector(".side");
      }
      await lab.close(page);
    }
    assert.deepEqual(found, []);
  },

  async "axe finds nothing in what is opened: login, questions, menus, dialogs, the side, the documents"(lab) {
    const found = [];
    for (const [colorScheme, width] of [["light", 360], ["dark", 1280]]) {
      const look = async (page, what) => found.push(...(await violations(page)).map((it) => `${colorScheme} ${width} ${what}: ${it}`));
      const options = { colorScheme, viewport: { width, height: 760 }, reducedMotion: "reduce" };
      const login = await lab.page("/", { ...options, token: null });
      await login.waitForSelector("h1:has-text('Log in')");
      await look(login, "login");
      await lab.close(login);
      const page = await lab.page("/sessions", options);
      await page.waitForSelector(".session-row");
      const asking = await session("conversant", conversant({ say: "ask", id: "q1", text: "May I?", json: { command: "make" } }, { say: "ask", id: "q2", text: "And this?" }, "wait", "wait", { say: "message", item: 1, text: "asked" }, { say: "done", text: "done" }), { title: "Looked at" });
      await page.evaluate((hash) => (location.hash = hash), `/s/${asking}`);
      await page.waitForSelector(".questions[data-questions='2']");
      await look(page, "questions");
      await page.fill(".composer textarea", conversant({ say: "done", text: "done" }));
      await page.keyboard.press("Enter");
      await page.waitForSelector(".queue li");
      await look(page, "the queue");
      for (const ask of ["q1", "q2"]) await page.click(`.questions [data-ask=${ask}] button:has-text('yes')`);
      await page.waitForSelector(".end-line >> nth=1");
      await page.click("[aria-label='More']");
      await look(page, "the menu");
      await page.click("button:has-text('Native stream')");
      await page.waitForSelector("dialog pre.native");
      await look(page, "the native stream");
      await page.keyboard.press("Escape");
      await page.click(".end-line >> nth=0 >> button:has-text('Fork')");
      await page.waitForSelector("dialog:has-text('Fork')");
      await look(page, "forking");
      await page.keyboard.press("Escape");
      await page.keyboard.press("Control+k");
      await page.waitForSelector(".palette li");
      await look(page, "the palette");
      await page.keyboard.press("Escape");
      await page.click("[aria-label='Changes, files, details']");
      for (const tab of ["changes", "files", "todo", "details"]) {
        await page.click(`#tab-${tab}`);
        await eventually("nothing is loading", async () => (await page.$(".loading")) === null);
        await look(page, tab);
      }
      for (const place of ["/docs", "/docs/howto", "/docs/search?q=webhook+signature", "/docs/no-such-page"]) {
        await page.goto(BASE + place);
        await page.waitForSelector("main h1");
        await look(page, place);
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        if (wide > 0) found.push(`${width} ${place} scrolls sideways by ${wide}`);
      }
      await lab.close(page);
    }
    assert.deepEqual(found, []);
  },

  async "the keyboard alone does it"(lab) {
    const page = await lab.page("/", { token: null });
    const focused = () => page.evaluate(() => {
      const it = document.activeElement;
      return `${it?.tagName} ${it?.getAttribute("aria-label") ?? it?.closest("label")?.textContent ?? it?.textContent ?? ""}`;
    });
    /** Presses a key until something has the focus. */
    const reach = async (what, key = "Tab") => {
      const passed = [];
      for (let n = 0; n < 60; n++) {
        const now = await focused();
        if (what.test(now)) return;
        passed.push(now.slice(0, 40));
        await page.keyboard.press(key);
      }
      assert.fail(`${what} is not reached by ${key}: ${passed.join(", ")}`);
    };
    await page.waitForSelector("h1:has-text('Log in')");
    await page.keyboard.type(TOKEN);
    await page.keyboard.press("Enter");
    await page.waitForSelector(".session-row");
    await page.keyboard.press("Control+k");
    await page.keyboard.type("new session");
    await page.keyboard.press("Enter");
    await page.waitForSelector(field("Runtime", "select"));
    await reach(/^TEXTAREA Prompt/);
    await reach(/^SELECT .*Runtime/);
    await page.keyboard.type("demo");
    assert.equal(await page.inputValue(field("Runtime", "select")), "demo");
    await reach(/^TEXTAREA Prompt/, "Shift+Tab");
    await page.keyboard.type("typed ? words");
    assert.equal(await page.$("dialog"), null, "single keys do nothing in fields");
    await page.keyboard.press("Enter");
    await page.waitForSelector(".end-line:has-text('Done')");
    // On from the prompt: to a second turn, a folded call, the turns, the files, and out.
    await page.keyboard.press("i");
    await reach(/^TEXTAREA/);
    await page.keyboard.type("sleep 300");
    await page.keyboard.press("Enter");
    await page.waitForSelector(".session-head .state:has-text('Running')");
    await page.keyboard.press("Control+.");
    await page.waitForSelector(".end-line:has-text('Interrupted')");
    await page.keyboard.press("Control+k");
    await page.waitForSelector(".palette li");
    await page.keyboard.type("changes, files");
    await page.keyboard.press("Enter");
    await page.waitForSelector(".side");
    await reach(/^BUTTON Changes$/);
    await page.keyboard.press("ArrowRight");
    await page.waitForSelector("#tab-files[aria-selected=true]");
    await reach(/^BUTTON .*demo-1\.txt/);
    await page.keyboard.press("Enter");
    await page.waitForSelector(".file-view pre.code");
    await reach(/^BUTTON Close/, "Shift+Tab");
    await page.keyboard.press("Enter");
    await page.waitForSelector(".side", { state: "detached" });
    await page.keyboard.press("?");
    await page.waitForSelector("dialog:has-text('Keys')");
    await page.keyboard.press("Escape");
    await page.waitForSelector("dialog", { state: "detached" });
    await page.keyboard.press("/");
    await reach(/^INPUT Search sessions/);
    await page.keyboard.press("Control+k");
    await page.waitForSelector(".palette li");
    await page.keyboard.type("log out");
    await page.keyboard.press("Enter");
    await page.waitForSelector("h1:has-text('Log in')");
    await lab.close(page);
  },
};
