import assert from "node:assert/strict";
import { BASE } from "../lab.mjs";

/** What newcomers type, and the sections that answer it: others than those of the book's own tests. */
const LOOKED_FOR = [
  ["stop a running agent", "commands#how-it-is-stopped"],
  ["how do I see the cost of a session", "howto#see-what-a-session-has-cost"],
  ["upload a file to the session", "howto#get-files-in-and-out-upload-and-download"],
  ["run aod in github actions", "howto#run-it-in-ci"],
  ["where is the database stored", "operations#where-the-data-is-stored"],
  ["uninstall", "operations#install"],
  ["exit code of aod run", "commands#exit-codes"],
  ["secrets in logs redaction", "vault-and-sandbox#redaction"],
  ["what happens if the server crashes", "architecture#what-survives-which-crash"],
  ["power loss data loss fsync", "durability#a-power-loss-costs-what-was-not-yet-synced"],
  ["how many sessions can run at the same time", "operations#limits"],
  ["memory limit for a turn", "operations#limits"],
  ["install python packages pip", "packages"],
  ["use a private npm registry", "packages#the-package-managers"],
  ["setup script fails", "vault-and-sandbox#setup-scripts"],
  ["macos or windows support", "comparison"],
  ["codex chatgpt login subscription", "howto#use-an-api-key-or-a-subscription"],
  ["keyboard shortcuts", "console#keys-colours-phones"],
  ["dark mode", "console#keys-colours-phones"],
  ["shell completion zsh", "commands#shells"],
  ["healthcheck endpoint for load balancer", "metrics#health"],
  ["python client sdk", "readme"],
  ["rollback to an earlier turn", "howto#resume-a-session-the-next-prompt"],
  ["report a security vulnerability", "reporting#reporting"],
  ["delete old sessions automatically", "howto#delete-my-data"],
  ["change the port", "operations#address-port-users-and-access"],
  ["how do I add another user", "howto#give-other-people-access-users-and-tokens"],
  ["create an api token", "tutorial#a-token"],
  ["rotate the encryption key", "operations#secrets-and-rotation"],
  ["backup and restore", "backup#putting-it-back"],
  ["run behind nginx reverse proxy tls", "operations#behind-a-proxy-tls-and-nginx"],
  ["docker compose", "operations#install"],
  ["limit the cost of a session", "howto#limit-cost-tokens-and-time"],
  ["private github repository token", "howto#work-on-a-private-repository"],
  ["use opencode with ollama or a local model", "howto#use-a-model-or-an-endpoint-of-my-own-base-url-ollama-litellm"],
  ["answer permission questions by api", "howto#approve-what-an-agent-wants-to-do"],
  ["stream events with javascript", "stream"],
  ["reconnect after connection lost", "howto#reconnect-to-a-stream-without-losing-events"],
  ["get structured json output schema", "howto#get-an-answer-as-json"],
  ["attach an image to a prompt", "commands#one-prompt"],
  ["queue a prompt while it is running", "howto#send-a-prompt-while-the-agent-is-running-queue-or-steer"],
  ["prometheus metrics grafana", "metrics#metrics"],
  ["debug logs json format", "metrics#requests-and-logs"],
  ["use my own script as a runtime", "runtimes-toml#a-script-of-your-own-as-the-cli"],
  ["how are secrets stored", "vault-and-sandbox#what-is-sealed"],
  ["is it safe to run untrusted code", "security#is-it-safe-to-run-untrusted-code"],
  ["agent cannot reach the network", "howto#know-why-an-agent-cannot-reach-the-network"],
  ["session stuck in pending", "operations#anything-else"],
  ["disk is full", "operations#the-disk-is-full"],
  ["rate limit 429 too many requests", "http-api#errors-and-status-codes"],
];

export const checks = {
  async "newcomers find what they look for from the search box"(lab) {
    const page = await lab.page("/sessions");
    await page.waitForSelector("h1:has-text('Sessions')");
    await page.goto(`${BASE}/docs`);
    const missed = [];
    for (const [query, wanted] of LOOKED_FOR) {
      await page.fill("input[type=search]", query);
      await Promise.all([page.waitForURL("**/docs/search?**"), page.keyboard.press("Enter")]);
      await page.waitForFunction((text) => document.querySelector("input[type=search]").value === text, query);
      const links = await page.locator("main article h2 a").evaluateAll((all) => all.slice(0, 3).map((it) => it.getAttribute("href")));
      if (!links.includes(`/docs/${wanted}`)) {
        missed.push(`${query}: ${wanted} is not among ${links.join(", ")}`);
        continue;
      }
      await page.click(`main article a[href="/docs/${wanted}"]`);
      await page.waitForSelector("main h1");
      const anchor = wanted.split("#")[1];
      // The heading itself is there, and in sight.
      if (anchor) await page.waitForFunction((id) => { const box = document.getElementById(id)?.getBoundingClientRect(); return box && box.top >= 0 && box.top < innerHeight; }, anchor);
    }
    assert.equal(LOOKED_FOR.length, 50);
    assert.ok(missed.length <= 2, missed.join("\n"));
    await lab.close(page);
    return missed.length ? `missed ${missed.join("; ")}` : "50 of 50";
  },

  async "each page is read, leads on, and breaks no rule"(lab) {
    const page = await lab.page("/sessions", { viewport: { width: 360, height: 760 } });
    await page.waitForSelector("h1:has-text('Sessions')");
    await page.goto(`${BASE}/docs`);
    const pages = await page.locator("nav.contents a").evaluateAll((all) => all.map((it) => it.getAttribute("href")));
    assert.ok(pages.length > 20);
    for (const path of pages) {
      await page.goto(BASE + path);
      await page.waitForSelector("main h1");
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth), 0, `${path} scrolls sideways`);
      assert.deepEqual(await page.evaluate(() => window.violations), [], path);
      assert.equal(await page.locator("nav.contents a[aria-current=page]").getAttribute("href"), path);
    }
    await page.click("a.to-contents");
    await page.waitForFunction(() => { const box = document.getElementById("contents").getBoundingClientRect(); return box.top < innerHeight && box.bottom > 0; });
    await page.click("header a[href='/']");
    await page.waitForSelector("h1:has-text('Sessions')");
    await lab.close(page);
  },

  async "the palette searches the documents"(lab) {
    const page = await lab.page("/sessions");
    await page.waitForSelector("h1:has-text('Sessions')");
    await page.keyboard.press("Control+k");
    await page.keyboard.type("webhook signature");
    const [opened] = await Promise.all([page.context().waitForEvent("page"), page.keyboard.press("Enter")]);
    await opened.waitForSelector("main article a[href='/docs/webhooks#signatures']");
    assert.equal(await opened.evaluate(() => window.opener), null);
    await lab.close(page);
  },
};
