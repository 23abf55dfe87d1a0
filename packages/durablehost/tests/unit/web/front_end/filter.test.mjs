import assert from "node:assert/strict";
import test from "node:test";

const filters = await import(`${process.env.STATIC}/filter.mjs`);
const NOW = Date.parse("2026-01-05T10:00:00Z");
const ROW = { id: "order-1", name: "Orch", status: "Failed", created: "2026-01-05T09:30:00Z" };

test("a filter is the same after it was in the address", () => {
  const filter = { status: ["Failed", "Running"], name: "a&b", prefix: "x=1", created: "range", from: "2026-01-05T10:00", to: "" };
  assert.deepEqual(filters.readFilter(filters.writeFilter(filter)), filter);
  assert.deepEqual(filters.readFilter(""), filters.EVERYTHING);
  assert.equal(filters.writeFilter(filters.EVERYTHING), "");
});

test("a filter is a query of the storage", () => {
  const filter = { ...filters.EVERYTHING, status: ["Failed"], name: " Orch ", prefix: "order-", created: "hour" };
  const query = new URLSearchParams(filters.filterQuery(filter, NOW));
  assert.deepEqual(Object.fromEntries(query), {
    runtimeStatus: "Failed", name: "Orch", instanceIdPrefix: "order-", createdTimeFrom: "2026-01-05T09:00:00.000Z",
  });
  assert.equal(new URLSearchParams(filters.filterQuery(filter, NOW, false)).get("runtimeStatus"), null);
});

test("a row that has changed is shown if it matches every condition", () => {
  const fits = (changes) => filters.matches(ROW, { ...filters.EVERYTHING, ...changes }, NOW);
  assert.ok(fits({}));
  assert.ok(fits({ status: ["Failed"], name: "Orch", prefix: "order-", created: "hour" }));
  assert.ok(!fits({ status: ["Running"] }));
  assert.ok(!fits({ name: "Or" }));
  assert.ok(!fits({ prefix: "parcel" }));
  assert.ok(!filters.matches({ ...ROW, created: "2026-01-05T08:00:00Z" }, { ...filters.EVERYTHING, created: "hour" }, NOW));
});

test("only instances that have ended can be purged", () => {
  const of = (...status) => filters.finishedOnly({ ...filters.EVERYTHING, status, prefix: "order-" });
  assert.deepEqual(of().status, ["Completed", "Failed", "Terminated", "Canceled"]);
  assert.deepEqual(of("Running", "Failed"), { ...filters.EVERYTHING, status: ["Failed"], prefix: "order-" });
  assert.equal(of("Running", "Pending"), null);
});
