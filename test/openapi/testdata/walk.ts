// The client that openapi-typescript made the types of, walking the API.
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

const [base, key] = [process.argv[2]!, process.env["KEY"]!];
const client = createClient<paths>({ baseUrl: base, headers: { Authorization: `Bearer ${key}` } });

function must<T>(what: string, value: T | undefined, error: unknown): T {
  if (value === undefined) throw new Error(`${what}: ${JSON.stringify(error)}`);
  return value;
}

let seen = 0;
let cursor: string | null | undefined;
do {
  const { data, error } = await client.GET("/v1/agents", { params: { query: { limit: 5, ...(cursor ? { cursor } : {}) } } });
  const list = must("list", data, error);
  if (!list.complete) throw new Error("the list is not complete");
  for (const { id } of list.data) {
    const got = await client.GET("/v1/agents/{id}", { params: { path: { id } } });
    const agent: components["schemas"]["Agent"] = must("get", got.data, got.error);
    if (agent.id !== id || agent.view !== "full") throw new Error(`get ${id}`);
    seen++;
  }
  cursor = list.next_cursor;
} while (cursor);

const created = await client.POST("/v1/agents", {
  params: { header: { "Idempotency-Key": "from-ts" } },
  body: { backend: "krosai", name: "From TypeScript", system_prompt: "Answer briefly." },
});
const agent = must("create", created.data, created.error);
if (!("id" in agent) || agent.name !== "From TypeScript") throw new Error(JSON.stringify(agent));
const path = { id: agent.id };
const etag = created.response.headers.get("ETag")!;
const updated = await client.PATCH("/v1/agents/{id}", { params: { path, header: { "If-Match": etag } }, body: { name: "Again", language: "fr" } });
must("update", updated.data, updated.error);
const late = await client.PATCH("/v1/agents/{id}", { params: { path, header: { "If-Match": etag } }, body: { name: "Late" } });
if (late.error?.code !== "etag_mismatch") throw new Error(JSON.stringify(late.error));
const deleted = await client.DELETE("/v1/agents/{id}", { params: { path } });
if (deleted.response.status !== 204) throw new Error(`delete: ${deleted.response.status}`);
const backends = await client.GET("/v1/backends");
if (must("backends", backends.data, backends.error).data.length !== 4) throw new Error("backends");
console.log(seen, "agents");
