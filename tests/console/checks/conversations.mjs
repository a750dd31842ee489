import assert from "node:assert/strict";
import { BASE, MODEL, MODEL_INSIDE, TOKEN, api, conversant, ended, eventually, processorTime, says, server, session } from "../lab.mjs";

const done = { say: "done", text: "done" };
/** A session with a question that nobody answers, begun first so that its minute is over at the end. */
let unanswered;

const runs = (id) => eventually(`session ${id} runs`, async () => (await api("GET", `/sessions/${id}`)).status === "running");

/** An agent of Claude Code that speaks to the stand-in, where Claude Code is installed. */
async function claude(more = {}) {
  const { data } = await api("GET", "/runtimes");
  const runtime = data.find((it) => it.name === "claude");
  if (!runtime) return null;
  await api("PUT", "/credentials/provider_key:anthropic", { value: "sk-ant-api03-of-the-console" });
  await api("PUT", "/credentials/env:ANTHROPIC_BASE_URL", { value: MODEL_INSIDE });
  return (await api("POST", "/agents", { name: "Claude Code", runtime: "claude", model: runtime.models[0], ...more })).id;
}

export const checks = {
  async "three questions are asked, and two of them answered"(lab) {
    const page = await lab.page("/sessions");
    await page.waitForSelector("h1:has-text('Sessions')");
    unanswered = await session("conversant", conversant(
      { say: "ask", id: "early", text: "Answered first" }, { say: "ask", id: "late", text: "Nobody answers this" }, { say: "ask", id: "next", text: "Answered next" },
      "wait", "wait", "wait", done,
    ), { title: "Unanswered" });
    await page.evaluate((hash) => (location.hash = hash), `/s/${unanswered}`);
    for (const [ask, answer] of [["next", "no"], ["early", "yes"]]) {
      await page.click(`.questions [data-ask=${ask}] button:has-text('${answer}')`);
      await page.waitForSelector(`.questions [data-ask=${ask}]`, { state: "detached" });
    }
    await page.waitForSelector(".questions[data-questions='1'] .ask:has-text('left, then no')");
    await lab.close(page);
  },

  async "a conversation reads as one"(lab) {
    const id = await session("conversant", conversant(
      { say: "tool", id: "r1", name: "read", json: { path: "a.rs" } }, { say: "tool-done", id: "r1", text: "A" },
      { say: "tool", id: "r2", name: "read", json: { path: "b.rs" } }, { say: "tool-done", id: "r2", text: "B" },
      { say: "message", item: 1, text: "**Bold** words" },
      { say: "tool", id: "a1", name: "agent", json: { task: "Count the tests" } },
      { say: "message", item: 2, inside: "a1", text: "I count them" },
      { say: "tool", id: "a2", name: "agent", inside: "a1", json: { task: "Deeper" } },
      { say: "message", item: 3, inside: "a2", text: "I am deeper" },
      { say: "tool-done", id: "a2", inside: "a1", text: "deep" },
      { say: "tool-done", id: "a1", text: "twelve" },
      { say: "tool", id: "f1", name: "bash", json: { command: "make" } }, { say: "tool-done", id: "f1", text: "no rule", error: "x" },
      { say: "usage", model: "m", read: 1200, written: 30 }, done,
    ));
    await ended(id);
    const page = await lab.page(`/s/${id}`);
    await page.waitForSelector(".message strong:text-is('Bold')");
    await page.waitForSelector(".group:has-text('2 tool calls')");
    await page.waitForSelector(".tool.failed pre:has-text('no rule')");
    assert.equal(await page.locator(".message:has-text('I count them')").count(), 0, "a subagent is folded");
    await page.click("[data-call=a1] > .disclosure");
    await page.waitForSelector("[data-call=a1] .inner .message:has-text('I count them')");
    await page.click("[data-call=a2] > .disclosure");
    await page.waitForSelector("[data-call=a1] [data-call=a2] .message:has-text('I am deeper')");
    await page.waitForSelector(".end-line:has-text('1.2k in, 30 out'):has-text('cost unknown')");
    await lab.close(page);
  },

  async "three questions are seen, answered in any order, and dead after a reload"(lab) {
    // The page is there before the questions are: they are good for a minute, and machines are busy.
    const page = await lab.page("/sessions");
    await page.waitForSelector("h1:has-text('Sessions')");
    const id = await session("conversant", conversant(
      { say: "ask", id: "q1", text: "First?", json: { command: "rm -rf \u202Ebuild" } }, { say: "ask", id: "q2", text: "Second?" }, { say: "ask", id: "q3", text: "Third?" },
      "wait", "wait", "wait", done,
    ), { title: "It asks" });
    await page.evaluate((hash) => (location.hash = hash), `/s/${id}`);
    await page.fill(".composer textarea", "my words");
    await page.waitForSelector(".questions[data-questions='3']");
    await page.waitForSelector(".questions .badge:text-is('2 of 3')");
    await page.waitForSelector(".questions pre:has-text('rm -rf')");
    assert.match(await page.title(), /^\(\d\) It asks/);
    await page.waitForSelector(".session-head .state:has-text('Needs you')");
    for (const [ask, answer] of [["q2", "yes"], ["q1", "no"]]) {
      await page.click(`.questions [data-ask=${ask}] button:has-text('${answer}')`);
      await page.waitForSelector(`.questions [data-ask=${ask}]`, { state: "detached" });
    }
    assert.equal(await page.inputValue(".composer textarea"), "my words");
    await page.reload();
    await page.waitForSelector(".questions[data-questions='1']");
    await page.click(".questions [data-ask=q3] button:has-text('yes')");
    await page.waitForSelector(".end-line:has-text('Done')");
    await page.waitForSelector(".ask.over:has-text('Answered: yes')");
    await page.reload();
    await page.waitForSelector(".end-line:has-text('Done')");
    assert.equal(await page.locator(".ask button").count(), 0);
    assert.equal(await page.inputValue(".composer textarea"), "my words", "the draft outlives a reload");
    await lab.close(page);
  },

  async "a failed send keeps the draft, and its retry makes one turn"(lab) {
    const id = await session("demo", "hello");
    await ended(id);
    const page = await lab.page(`/s/${id}`);
    await page.waitForSelector(".end-line");
    // The server has it, and its answer is lost.
    let lost = 0;
    await page.route("**/prompt", async (route) => {
      if (lost++ > 0) return route.continue();
      await route.fetch();
      await route.abort();
    });
    await page.fill(".composer textarea", "once and no more");
    await page.keyboard.press("Enter");
    await page.waitForSelector(".composer [role=alert]");
    assert.equal(await page.inputValue(".composer textarea"), "once and no more");
    await page.click(".composer [aria-label^='Send'], .composer [aria-label^='Put in']");
    await eventually("the prompt is sent", async () => (await page.inputValue(".composer textarea")) === "");
    await ended(id);
    assert.equal((await api("GET", `/sessions/${id}/turns`)).data.length, 2);
    await lab.close(page);
  },

  async "an input method's Enter sends nothing"(lab) {
    const id = await session("demo", "hello");
    await ended(id);
    const page = await lab.page(`/s/${id}`);
    await page.fill(".composer textarea", "にほん");
    for (const more of [{ isComposing: true }, { keyCode: 229 }]) {
      await page.locator(".composer textarea").dispatchEvent("keydown", { key: "Enter", bubbles: true, cancelable: true, ...more });
    }
    assert.equal(await page.inputValue(".composer textarea"), "にほん");
    assert.equal((await api("GET", `/sessions/${id}`)).turn_count, 1);
    await lab.close(page);
  },

  async "a queue is seen, changed, and outlives the server; then the agent is steered"(lab) {
    const id = await session("conversant", conversant("wait", { say: "steered", id: "@order" }, { say: "message", item: 1, text: "told: @said" }, done));
    await runs(id);
    const page = await lab.page(`/s/${id}`);
    await page.waitForSelector("[aria-label=Interrupt]");
    for (const n of [1, 2, 3]) {
      await page.fill(".composer textarea", conversant({ say: "message", item: 1, text: `answer ${n}` }, done));
      await page.keyboard.press("Enter");
      await page.waitForSelector(`.queue li >> nth=${n - 1}`);
    }
    await page.click("[aria-label='Remove prompt 2']");
    await eventually("one is gone", async () => (await page.locator(".queue li").count()) === 2);
    await server("kill");
    await server("start");
    await page.reload();
    await page.waitForSelector(".queue li >> nth=1");
    assert.match(await page.locator(".queue li >> nth=0").textContent(), /answer 1/);
    assert.match(await page.locator(".queue li >> nth=1").textContent(), /answer 3/);
    await page.waitForSelector("textarea[placeholder*='Ctrl+Enter']");
    await page.fill(".composer textarea", "look left");
    await page.keyboard.press("Control+Enter");
    await page.waitForSelector(".message:has-text('told: look left')");
    await page.waitForSelector(".steer:has-text('Told to the agent')");
    await page.waitForSelector(".message:has-text('answer 3')");
    assert.equal(await page.locator(".message:has-text('answer 2')").count(), 0);
    await lab.close(page);
  },

  async "the server is killed in mid-turn, and each event is shown once"(lab) {
    const id = await session("raw", "i=0; while [ $i -lt 40 ]; do printf '{\"demo\":\"message\",\"text\":\"piece-%s.\"}\\n' $i; i=$((i+1)); sleep 0.1; done");
    const page = await lab.page(`/s/${id}`, { viewport: { width: 1280, height: 4000 } });
    await page.waitForSelector(".message:has-text('piece-3.')");
    await server("kill");
    await server("start");
    await page.waitForSelector(".end-line:has-text('Done')");
    const texts = await page.locator(".message").allTextContents();
    assert.deepEqual(texts.map((it) => it.trim()), Array.from({ length: 40 }, (_, n) => `piece-${n}.`));
    await lab.close(page);
  },

  async "Claude Code goes on while its server is gone, and nothing is shown twice"(lab) {
    const agent_id = await claude();
    if (!agent_id) return "without Claude Code";
    const words = Array.from({ length: 40 }, (_, n) => `word${n + 1}`).join(" ");
    const id = await session(null, "[[slow 150]] [[words 40]]", { agent_id });
    const page = await lab.page(`/s/${id}`);
    await page.waitForSelector(".message:has-text('word5 ')");
    await server("kill");
    await server("start");
    await page.waitForSelector(".end-line:has-text('Done')");
    const texts = await page.locator(".message").allTextContents();
    assert.deepEqual(texts.map((it) => it.trim()), [words]);
    await lab.close(page);
  },

  async "a tool of the agent's own is answered in its place"(lab) {
    const tools = [{ name: "lookup_fruit", description: "Looks a fruit up.", input_schema: { type: "object", properties: { text: { type: "string" } }, required: ["text"] }, default: { content: "nobody knows" } }];
    const agent_id = await claude({ tools });
    if (!agent_id) return "without Claude Code";
    const id = await session(null, "[[mcp lookup_fruit {\"text\": \"plum\"}]]", { agent_id });
    const page = await lab.page(`/s/${id}`);
    await page.waitForSelector(".questions .ask:has-text('lookup_fruit') pre:has-text('plum')");
    await page.waitForSelector(".questions .ask:has-text('nobody knows')");
    await page.waitForSelector(".session-head .state:has-text('Needs you')");
    await page.fill(".questions .tool-answer textarea", "It is a stone fruit.");
    await page.click(".questions .tool-answer button:has-text('Answer')");
    await page.waitForSelector(".message:has-text('It is a stone fruit.')");
    await page.waitForSelector(".ask.over:has-text('Answered: It is a stone fruit.')");
    await lab.close(page);
  },

  async "a list of things to do is pinned while it is worked on, and kept beside"(lab) {
    const agent_id = await claude();
    if (!agent_id) return "without Claude Code";
    const add = (subject) => `[[mcp TaskCreate ${JSON.stringify({ subject, description: subject })}]]`;
    const id = await session(null, `${add("Read the code")} ${add("Mend <b>it</b>")} [[mcp TaskUpdate {"taskId": "1", "status": "completed"}]] [[hang]]`, { agent_id });
    const page = await lab.page(`/s/${id}`);
    await page.waitForSelector(".todo-pinned:has-text('1 of 2 done') li.completed:has-text('Read the code')");
    await page.waitForSelector(".todo-pinned li.pending:has-text('Mend <b>it</b>')");
    await page.click("[aria-label='Changes, files, details']");
    await page.click("#tab-todo");
    await page.waitForSelector(".side li.completed:has-text('Read the code')");
    await page.keyboard.press("Control+.");
    await page.waitForSelector(".end-line:has-text('Interrupted')");
    await page.waitForSelector(".todo-pinned", { state: "detached" });
    await lab.close(page);
  },

  async "Claude Code asks for leave, and is given it by the keyboard"(lab) {
    const agent_id = await claude();
    if (!agent_id) return "without Claude Code";
    const id = await session(null, "[[bash touch made-by-leave.txt]] [[say made]]", { agent_id, settings: { permission_mode: "default" } });
    const page = await lab.page(`/s/${id}`);
    await page.waitForSelector(".questions .ask:has-text('touch made-by-leave.txt')");
    await page.evaluate(() => document.activeElement?.blur());
    await page.keyboard.press("a");
    await page.waitForFunction(() => document.activeElement?.textContent === "Allow");
    await page.keyboard.press("Enter");
    await page.waitForSelector(".message:has-text('made')");
    await page.waitForSelector(".ask.over:has-text('Answered: Allow')");
    const { data } = await api("GET", `/sessions/${id}/files`);
    assert.deepEqual(data.map((it) => it.path), ["made-by-leave.txt"]);
    await lab.close(page);
  },

  async "what the agent does not tell of is shown: files, and requests to the model"(lab) {
    const agent_id = await claude();
    if (!agent_id) return "without Claude Code";
    const request = `curl -s --noproxy '*' "$ANTHROPIC_BASE_URL/v1/messages" -H "x-api-key: $ANTHROPIC_API_KEY" -H "content-type: application/json" -d '{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hello"}]}'`;
    const id = await session(null, `[[bash echo made >made.txt; ${request}]] [[say done]]`, { agent_id });
    await ended(id);
    const page = await lab.page(`/s/${id}`);
    await page.waitForSelector(".tool.seen:has-text('1 file changed besides'):has-text('made.txt') tr.add:has-text('made')");
    await page.waitForSelector(".end-line .differs:text-is('the provider counts 33 in, 21 out')");
    await lab.close(page);
  },

  async "an edit is seen as a diff on a phone, and the page does not scroll sideways"(lab) {
    const agent_id = await claude();
    if (!agent_id) return "without Claude Code";
    const id = await session(null, `[[write notes.txt ${"long ".repeat(60)}]]`, { agent_id });
    await ended(id);
    const page = await lab.page(`/s/${id}`, { viewport: { width: 360, height: 760 } });
    await page.waitForSelector(".end-line:has-text('Done')");
    await page.click("[aria-label='Changes, files, details']");
    await page.waitForSelector(".side .file-diff:has-text('notes.txt') tr.add:has-text('long long')");
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth), 0);
    await lab.close(page);
  },

  async "a session is forked from a turn, and taken back to one"(lab) {
    const id = await session("demo", "$ echo 1 >1.txt", { title: "The first way" });
    await ended(id);
    await api("POST", `/sessions/${id}/prompt`, { prompt: "$ echo 2 >2.txt" });
    await eventually("two turns", async () => (await ended(id)).turn_count === 2);
    const page = await lab.page(`/s/${id}`);
    await page.click(".end-line >> nth=0 >> button:has-text('Fork')");
    await page.fill("dialog textarea", "$ ls");
    await page.fill("dialog input", "The other way");
    await page.click("dialog button:text-is('Fork')");
    await page.waitForSelector(".session-name:has-text('The other way')");
    await page.waitForSelector(".log-head:has-text('a copy of another session at the end of turn 1')");
    await page.waitForSelector(".end-line:has-text('Done')");
    const copy = page.url().split("/s/")[1];
    const { data } = await api("GET", `/sessions/${copy}/files`);
    assert.deepEqual(data.map((it) => it.path), ["1.txt"]);
    await page.click(".log-head a");
    await page.click(".end-line >> nth=0 >> button:has-text('Go back here')");
    await page.click("dialog button:has-text('Take it back')");
    await page.waitForSelector("[data-turn='2'] .badge:text-is('undone')");
    assert.equal((await api("GET", `/sessions/${id}`)).restored_to, 1);
    await lab.close(page);
  },

  async "a silent connection is given up, and nothing is missed"(lab) {
    const id = await session("conversant", conversant({ say: "message", item: 1, text: "before" }, "wait", { say: "steered", id: "@order" }, { say: "message", item: 2, text: "behind" }, done));
    await runs(id);
    const page = await lab.page("/sessions");
    await page.clock.install();
    let streams = 0;
    // The first stream is told nothing more, and is never closed.
    await page.addInitScript(() => {
      const real = window.fetch;
      let first = true;
      window.fetch = async (url, options) => {
        const reply = await real(url, options);
        if (!String(url).endsWith("/events") || !first) return reply;
        first = false;
        const silent = new ReadableStream({ start(controller) { options.signal.addEventListener("abort", () => controller.error(new DOMException("aborted", "AbortError"))); } });
        return new Response(silent, { status: 200, headers: reply.headers });
      };
    });
    page.on("request", (it) => { if (it.url().endsWith("/events")) streams++; });
    await page.evaluate((hash) => { location.hash = hash; }, `/s/${id}`);
    await page.reload();
    await page.waitForSelector(".message:has-text('before')");
    await eventually("it streams", () => streams === 1);
    await api("POST", `/sessions/${id}/prompt`, { prompt: "go", when_busy: "steer" });
    await ended(id);
    assert.equal(await page.locator(".message:has-text('behind')").count(), 0);
    await page.clock.runFor(47_000);
    await page.clock.resume();
    await page.waitForSelector(".message:has-text('behind')");
    assert.equal(await page.locator(".message:has-text('behind')").count(), 1);
    await lab.close(page);
  },

  async "the list beside a conversation says what its page says"(lab) {
    const id = await session("conversant", conversant("wait", { say: "ask", id: "q1", text: "May I?" }, "wait", done));
    await runs(id);
    const page = await lab.page("/sessions");
    await page.clock.install();
    await page.reload();
    await page.waitForSelector(".session-row");
    await page.evaluate((hash) => (location.hash = hash), `/s/${id}`);
    await page.waitForSelector(".session-head .state:has-text('Running')");
    await page.waitForSelector(`.session-row[data-session="${id}"] .state:has-text('Running')`);
    // The list is asked for every ten seconds by itself: only once in these, and it changes twice.
    await page.clock.pauseAt(Date.now() + 2000);
    let passed = 0;
    const asked = async () => (await api("GET", `/sessions/${id}/events?deltas=false&tail=20`)).data.some((it) => it.type === "permission.request");
    for (const [act, is, state] of [
      [() => api("POST", `/sessions/${id}/prompt`, { prompt: "go", when_busy: "steer" }), asked, "Needs you"],
      [() => api("POST", `/sessions/${id}/answers`, { request_id: "q1", answer: "yes" }), async () => (await api("GET", `/sessions/${id}`)).status === "completed", "Ready"],
    ]) {
      await act();
      await eventually(`it is so: ${state}`, is);
      await eventually(`the list says ${state}`, async () => {
        assert.ok((passed += 10) < 5000, `not within five seconds: ${state}`);
        await page.clock.runFor(10);
        return (await page.locator(`.session-row[data-session="${id}"] .state:has-text('${state}')`).count()) > 0;
      });
    }
    await lab.close(page);
    return `${passed} ms`;
  },

  async "a turn that is over before the page looks is shown"(lab) {
    const id = await session("demo", "hello");
    await ended(id);
    const page = await lab.page(`/s/${id}`);
    await page.waitForSelector(".end-line");
    // What the page reads of the session comes once the turn is over.
    await page.route(`**/sessions/${id}`, async (route) => {
      await eventually("the second turn ends", async () => { const it = await api("GET", `/sessions/${id}`); return it.turn_count === 2 && it.status === "completed"; });
      await route.continue();
    });
    await page.fill(".composer textarea", "quick");
    await page.keyboard.press("Enter");
    await page.waitForSelector("[data-turn='2']");
    await page.waitForSelector(".end-line:has-text('Done') >> nth=1");
    await lab.close(page);
  },

  async "a pasted image reaches the model"(lab) {
    const agent_id = await claude();
    if (!agent_id) return "without Claude Code";
    const id = await session(null, "[[say ready]]", { agent_id });
    const first = await ended(id);
    assert.equal(first.status, "completed", first.error);
    const page = await lab.page(`/s/${id}`);
    await page.waitForSelector(".message:has-text('ready')");
    const png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    await page.focus(".composer textarea");
    await page.evaluate((base64) => {
      const bytes = Uint8Array.from(atob(base64), (it) => it.charCodeAt(0));
      const clipboardData = new DataTransfer();
      clipboardData.items.add(new File([bytes], "image.png", { type: "image/png" }));
      document.activeElement.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
    }, png);
    await page.waitForSelector(".composer .chip img");
    await page.fill(".composer textarea", "[[say I see it]]");
    await page.keyboard.press("Enter");
    await page.waitForSelector(".bubble .chip");
    await page.waitForSelector("[data-turn='2']");
    await page.waitForSelector(".end-line:has-text('Done') >> nth=1");
    const asked = await (await fetch(`${MODEL}/_requests`)).text();
    assert.ok(asked.includes("image/png"), "the model was sent an image");
    await lab.close(page);
  },

  async "who reads further up is not moved by 500 deltas a second"(lab) {
    // As many a second as the clock says, whatever else the machine does: what is late comes at once.
    const [rate, count] = [650, 2600];
    const id = await session("raw", `${says(...Array.from({ length: 60 }, (_, n) => ({ demo: "message", text: `Paragraph ${n}. ${"word ".repeat(40)}` })))}
cat >pour.sh <<'END-OF-SCRIPT'
exec {never}<> <(:)
until [ -e "$1" ]; do read -t 0.02 -u $never; done
begun=\${EPOCHREALTIME/[.,]/}
for ((i = 0; i < ${count};)); do
  due=$(((\${EPOCHREALTIME/[.,]/} - begun) * ${rate} / 1000000 + 1))
  for ((; i < due && i < ${count}; i++)); do
    ((i % 60 == 59)) && end='\\n\\n' || end=' '
    printf '{"demo":"delta","text":"%s piece %s of what streams%s"}\\n' "$1" $i "$end"
  done
  read -t 0.004 -u $never
done
echo $(((\${EPOCHREALTIME/[.,]/} - begun) / 1000)) >"took-$1"
printf '{"demo":"thinking","text":"%s is over"}\\n' "$1"
END-OF-SCRIPT
for name in first second; do bash pour.sh $name; done; until [ -e end ]; do sleep 0.05; done`, { timeout: 300 });
    const page = await lab.page(`/s/${id}`);
    await page.waitForSelector(".message:has-text('Paragraph 59.')");
    const say = async (name) => {
      const reply = await fetch(`${BASE}/sessions/${id}/files/${name}`, { method: "PUT", headers: { authorization: `Bearer ${TOKEN}` }, body: "go" });
      assert.ok(reply.ok, await reply.text());
    };
    /** Looks in each frame where what is read now is, until so many rows are new. */
    const watch = (rows) => page.evaluate(async (rows) => {
      const box = document.querySelector(".log").getBoundingClientRect();
      const read = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
      const before = read.getBoundingClientRect().top;
      const seen = { text: read.textContent.slice(0, 30), drift: 0, frames: 0, slowest: 0 };
      for (let last = performance.now(); !document.querySelector(".to-end")?.textContent.startsWith(`${rows} new`); seen.frames++) {
        // Behind all that a frame does.
        await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
        seen.drift = Math.max(seen.drift, Math.abs(read.getBoundingClientRect().top - before));
        if (!read.isConnected) throw new Error("what is read was made anew");
        seen.slowest = Math.max(seen.slowest, performance.now() - last);
        last = performance.now();
      }
      return seen;
    }, rows);
    const work = await processorTime(page);
    const told = [];
    // Above what grows, and in the middle of it.
    for (const [name, rows, place] of [["first", 2, "Paragraph"], ["second", 1, "first piece"]]) {
      await page.hover(".log");
      await page.mouse.wheel(0, -1500);
      await page.waitForSelector(".to-end");
      await page.waitForTimeout(400);
      const watched = watch(rows);
      await say(name);
      const { text, drift, frames, slowest } = await watched;
      assert.ok(text.startsWith(place), text);
      assert.ok(drift < 1, `${text} moved by ${drift} pixels`);
      told.push(`${drift} pixels in ${frames} frames, slowest ${Math.round(slowest)} ms`);
      await page.click(".to-end");
      await page.waitForSelector(`text=${name} piece ${count - 1} of what streams`);
    }
    const cost = ((await work()) * 1000) / (2 * count);
    await say("end");
    await ended(id);
    const took = await Promise.all(["first", "second"].map((name) => api("GET", `/sessions/${id}/files/took-${name}`)));
    const rates = took.map((ms) => Math.round((count * 1000) / ms));
    assert.ok(rates.every((it) => it >= 500), `${rates} deltas a second`);
    // Half of what its thread has, however busy the machine is.
    assert.ok(cost < 1, `a delta takes ${cost} ms of work`);
    await lab.close(page);
    return `${rates} a second: ${told.join("; ")}; ${cost.toFixed(2)} ms of work each`;
  },

  async "the third question, which nobody answered, says what was used"(lab) {
    await ended(unanswered);
    const page = await lab.page(`/s/${unanswered}`);
    await page.waitForSelector(".ask.over:has-text('Nobody answers this'):has-text('No answer in time: used no')");
    await page.waitForSelector(".ask.over:has-text('Answered first'):has-text('Answered: yes')");
    await page.waitForSelector(".ask.over:has-text('Answered next'):has-text('Answered: no')");
    assert.equal(await page.locator(".ask button").count(), 0);
    await lab.close(page);
  },
};
