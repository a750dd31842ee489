// Runs a session with a client whose types were made from the server's description.
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

const client = createClient<paths>({
  baseUrl: process.env.AOD_API_URL,
  headers: { Authorization: `Bearer ${process.env.AOD_API_TOKEN}` },
});

type Session = components["schemas"]["Session"];

const made = await client.POST("/agents", {
  body: { name: "typescript", runtime: "demo", model: "demo/echo", metadata: { by: "node" } },
});
assert(made.data, JSON.stringify(made.error));
const agent = made.data;
assert.equal(agent.type, "agent");

const ack = await client.POST("/sessions", {
  body: { agent_id: agent.id, prompt: "hello", timeout: 60 },
});
assert(ack.data, JSON.stringify(ack.error));
const path = { id: ack.data.id };

async function ended(): Promise<Session> {
  for (let look = 0; look < 600; look++) {
    const { data, error } = await client.GET("/sessions/{id}", { params: { path } });
    assert(data, JSON.stringify(error));
    if (data.status !== "pending" && data.status !== "running") return data;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("the session does not end");
}

const first = await ended();
assert.equal(first.status, "completed");
assert.equal(first.usage.input_tokens >= 0, true);

await client.POST("/sessions/{id}/prompt", { params: { path }, body: { prompt: "again" } });
assert.equal((await ended()).turn_count, 2);
const turns = await client.GET("/sessions/{id}/turns", { params: { path } });
assert.deepEqual(turns.data?.data.map((turn) => turn.prompt), ["hello", "again"]);

// A stream that ends by itself: the turn is over.
const stream = await client.GET("/sessions/{id}/stream", { params: { path }, parseAs: "text" });
assert.match(String(stream.data), /You said: again/);

const page = await client.GET("/sessions/{id}/events", {
  params: { path, query: { limit: 200 } },
  headers: { Accept: "application/json" },
});
assert(page.data && typeof page.data === "object" && "data" in page.data);
assert(page.data.data.length > 0);

const refused = await client.POST("/agents", {
  // @ts-expect-error: a name is no number, and there is no budget.
  body: { name: 7, runtime: "demo", model: "demo/echo", budget: 3 },
});
assert.equal(refused.response.status, 422);
assert(Array.isArray(refused.error?.detail));

const deleted = await client.DELETE("/sessions/{id}/delete", { params: { path } });
assert.equal(deleted.data?.detail, "Session deleted");
console.log("a session of two turns ran");
