import assert from "node:assert/strict";
import { api, ended, eventually, processorTime, says, session } from "../lab.mjs";

const elements = (page) => page.evaluate(() => document.querySelectorAll("*").length);

/** An answer as a reader may have it: nothing in it is code, an image or an address of its own. */
const inert = (page) => page.evaluate(() => ({
  hit: window.hit,
  alien: [...document.querySelectorAll(".log script, .log img, .log iframe, .log object, .log [onerror], .log [onclick], .log [style*=url]")].length,
  links: [...document.querySelectorAll(".log a[href]")].map((it) => it.href).filter((it) => !/^(https?|mailto):|#\//.test(it)),
}));

export const checks = {
  async "markup of agents is inert"(lab) {
    const evil = [
      "<script>window.hit=1</script>",
      "<img src=x onerror=\"window.hit=2\"> <b onclick=\"window.hit=3\">bold</b>",
      "[run](javascript:window.hit=4) [data](data:text/html,<script>window.hit=5</script>) ![remote](https://evil.example/x.png)",
      "[ok](https://example.com) <javascript:alert(1)>",
      "> ".repeat(40) + "deep",
      "- ".repeat(60) + "nested",
    ].join("\n\n");
    const id = await session("raw", says(
      { demo: "message", text: evil },
      { demo: "message", text: `${">".repeat(2000)} many` },
      { demo: "message", text: "behind it" },
      { demo: "tool", id: "t", name: "<img src=x onerror=hit=6>", input: { command: "<script>window.hit=7</script>" } },
      { demo: "tool-result", id: "t", output: "<script>window.hit=8</script>", code: 1 },
    ), { title: "<img src=x onerror=window.hit=9>" });
    await ended(id);
    const page = await lab.page(`/s/${id}`, { viewport: { width: 1280, height: 3000 } });
    await page.waitForSelector(".message:has-text('behind it')");
    await page.waitForSelector(".message:has-text('many')");
    await page.waitForSelector(".message a[href='https://example.com/']");
    assert.deepEqual(await inert(page), { hit: undefined, alien: 0, links: [] });
    assert.ok((await page.textContent(".log")).includes("<script>window.hit=1</script>"));
    await lab.close(page);
  },

  async "escape sequences and hidden characters are shown or dropped, and the clipboard is kept"(lab) {
    const output = "\u001b[31mred\u001b[0m plain \u001b]52;c;ZXZpbA==\u0007\u001b]8;;https://evil.example\u0007link\u001b]8;;\u0007 \u001b[2J\u001b[1;1H rtl:\u202Eevil\u202C zero:\u200B.";
    const id = await session("raw", says(
      { demo: "tool", id: "t", name: "shell", input: { command: "ls \u202Egnp.exe" } },
      { demo: "tool-result", id: "t", output, code: 1 },
    ));
    await ended(id);
    const context = await lab.context({ permissions: ["clipboard-read", "clipboard-write"] });
    const page = await lab.page(`/s/${id}`, { context });
    await page.waitForSelector(".output .fg-red:text-is('red')");
    await page.evaluate(() => navigator.clipboard.writeText("mine"));
    const text = await page.textContent(".tool-body");
    for (const shown of ["U+202E", "U+202C", "U+200B", "link", "plain"]) assert.ok(text.includes(shown), shown);
    // eslint-disable-next-line no-control-regex
    assert.ok(!/[\u001b\u0007\u202e\u200b]|52;c|evil\.example/.test(text), JSON.stringify(text));
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), "mine");
    await lab.close(page);
  },

  async "a line of 5 MB stops nobody from typing"(lab) {
    const id = await session("raw", `sleep 1; ${says({ demo: "tool", id: "t", name: "shell", input: { command: "cat big" } })}printf '{"demo":"tool-result","id":"t","code":1,"output":"'; head -c 5000000 /dev/zero | tr '\\0' x; printf '"}\\n'; sleep 1`);
    const page = await lab.page(`/s/${id}`);
    await page.waitForSelector(".tool.failed .output");
    const work = await processorTime(page);
    const [usual, slowest, keys] = await page.evaluate(async () => {
      const field = document.querySelector(".composer textarea");
      field.focus();
      const all = [];
      for (const letter of "typed while it is there") {
        const begun = performance.now();
        field.value += letter;
        field.dispatchEvent(new InputEvent("input", { bubbles: true }));
        await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
        all.push(performance.now() - begun);
      }
      all.sort((a, b) => a - b);
      return [all[Math.floor(all.length / 2)], all.at(-1), all.length];
    });
    const cost = ((await work()) * 1000) / keys;
    const count = await elements(page);
    assert.ok(count < 2000, `${count} elements`);
    // Others may be using the machine; the page's own work for a key is the same.
    assert.ok(cost < 100, `a key takes ${cost} ms of work`);
    await lab.close(page);
    return `a key ${Math.round(usual)} ms (${cost.toFixed(1)} ms of work), slowest ${Math.round(slowest)} ms, ${count} elements`;
  },

  async "100,000 events begin at their end and scroll smoothly"(lab) {
    const script = `awk 'BEGIN { for (i = 0; i < 34000; i++) {
      printf "{\\"demo\\":\\"tool\\",\\"id\\":\\"t%d\\",\\"name\\":\\"shell\\",\\"input\\":{\\"command\\":\\"step %d\\"}}\\n", i, i;
      printf "{\\"demo\\":\\"tool-result\\",\\"id\\":\\"t%d\\",\\"output\\":\\"out %d\\",\\"code\\":%d}\\n", i, i, i % 7 == 0;
      printf "{\\"demo\\":\\"message\\",\\"text\\":\\"Message **%d** with some words.\\"}\\n", i } }'`;
    const id = await session("raw", script, { timeout: 600 });
    await eventually("it ends", async () => (await api("GET", `/sessions/${id}`)).status === "completed");
    const page = await lab.page("/sessions");
    await page.waitForSelector(".session-row");
    let bytes = 0;
    page.on("response", async (reply) => { bytes += Number((await reply.allHeaders())["content-length"] ?? 0); });
    // Others may be using the machine, so that it is the page's own work that is held to the bar.
    const opening = await processorTime(page);
    const begun = Date.now();
    await page.evaluate((hash) => (location.hash = hash), `/s/${id}`);
    await page.waitForSelector(".message:has-text('Message 33999')");
    const opened = Date.now() - begun;
    await page.waitForSelector(".end-line");
    const toOpen = (await opening()) * 1000;
    assert.ok(toOpen < 1500, `at the end after ${toOpen} ms of work`);
    const work = await processorTime(page);
    // Upwards through what is loaded page by page.
    const { fps, worst, rows } = await page.evaluate(async () => {
      const log = document.querySelector(".log");
      const frames = [];
      let last = performance.now();
      for (let n = 0; n < 180; n++) {
        log.scrollTop -= 60;
        await new Promise(requestAnimationFrame);
        const now = performance.now();
        frames.push(now - last);
        last = now;
      }
      frames.sort((a, b) => a - b);
      return { fps: 1000 / frames[90], worst: frames[178], rows: document.querySelectorAll(".row-holder").length };
    });
    // What the page's own thread needs for a frame, however busy the machine is.
    const cost = ((await work()) * 1000) / 180;
    const count = await elements(page);
    assert.ok(bytes < 1_000_000, `${bytes} bytes`);
    assert.ok(count < 2000, `${count} elements`);
    assert.ok(cost < 20, `a frame takes ${cost} ms: fewer than 50 a second`);
    await page.click(".to-end");
    await page.waitForSelector(".message:has-text('Message 33999')");
    await lab.close(page);
    return `open after ${opened} ms (${Math.round(toOpen)} ms of work), ${Math.round(bytes / 1000)} kB, ${Math.round(fps)} frames a second, ${cost.toFixed(1)} ms of work each, p99 ${Math.round(worst)} ms, ${rows} rows, ${count} elements`;
  },
};
