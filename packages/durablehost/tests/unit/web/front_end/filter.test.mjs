import assert from "node:assert/strict";
import test from "node:test";

const filters = await import(`${process.env.STATIC}/filter.mjs`);
const NOW = Date.parse("2026-01-05T10:00:00Z");
const ROW = {
  id: "order-1", name: "Orch", status: "Failed", created: "2026-01-05T09:30:00Z", updated: "2026-01-05T09:40:00Z",
  customStatus: { text: "\"Waits for Ann\"", length: 15 },
};

test("a filter is the same after it was in the address", () => {
  const filter = {
    status: ["Failed", "Running"], name: "a&b", prefix: "x=1", search: "#7", created: "range", from: "2026-01-05T10:00", to: "", updated: "day",
    sort: "-updated",
  };
  assert.deepEqual(filters.readFilter(filters.writeFilter(filter)), filter);
  assert.deepEqual(filters.readFilter(""), filters.EVERYTHING);
  assert.equal(filters.writeFilter(filters.EVERYTHING), "");
});

test("a filter is a query of the storage", () => {
  const filter = { ...filters.EVERYTHING, status: ["Failed"], name: " Orch ", prefix: "order-", search: " seven ", created: "hour", updated: "day" };
  const query = new URLSearchParams(filters.filterQuery(filter, NOW));
  assert.deepEqual(Object.fromEntries(query), {
    runtimeStatus: "Failed", name: "Orch", instanceIdPrefix: "order-", search: "seven", createdTimeFrom: "2026-01-05T09:00:00.000Z",
    updatedTimeFrom: "2026-01-04T10:00:00.000Z",
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
  assert.ok(fits({ search: "ORDER", updated: "hour" }));
  assert.ok(fits({ search: "for ann" }));
  assert.ok(!fits({ search: "parcel" }));
  assert.ok(!filters.matches({ ...ROW, updated: "2026-01-05T08:59:00Z" }, { ...filters.EVERYTHING, updated: "hour" }, NOW));
  assert.ok(!filters.matches({ ...ROW, created: "2026-01-05T08:00:00Z" }, { ...filters.EVERYTHING, created: "hour" }, NOW));
});

test("only instances that have ended can be purged", () => {
  const of = (...status) => filters.finishedOnly({ ...filters.EVERYTHING, status, prefix: "order-" });
  assert.deepEqual(of().status, ["Completed", "Failed", "Terminated", "Canceled"]);
  assert.deepEqual(of("Running", "Failed"), { ...filters.EVERYTHING, status: ["Failed"], prefix: "order-" });
  assert.equal(of("Running", "Pending"), null);
});

test("the words of a filter name every condition that its requests have, and no other", () => {
  const words = (changes) => filters.filterWords({ ...filters.EVERYTHING, ...changes }, NOW);
  assert.deepEqual(words({ sort: "name", name: " ", created: "nonsense", updated: "constructor" }), []);
  assert.deepEqual(words({ status: ["Failed", "Terminated"], name: "Orch", prefix: "order-", search: "ann", created: "hour", updated: "day" }), [
    "status Failed or Terminated", 'name "Orch"', 'id begins with "order-"', 'contains "ann"', "created in the last hour",
    "updated in the last 24 hours",
  ]);
  assert.deepEqual(words({ created: "range", from: "2026-01-05T09:00", to: "2026-01-05T09:30" }), ["created from 09:00:00", "created until 09:30:00"]);
  assert.deepEqual(words({ created: "range", from: "nonsense", to: "" }), []);
});

test("the order of the rows is no condition", () => {
  const sorted = { ...filters.EVERYTHING, name: "Orch", sort: "-name" };
  assert.equal(filters.conditions(sorted), filters.conditions({ ...sorted, sort: "" }));
  assert.notEqual(filters.conditions(sorted), filters.conditions({ ...sorted, name: "Other" }));
});

test("the recent failures are a filter that can be switched on and off", () => {
  const on = filters.withRecentFailures({ ...filters.EVERYTHING, name: "Orch", status: ["Running"] }, true);
  assert.deepEqual(on, { ...filters.EVERYTHING, name: "Orch", status: ["Failed"], updated: "hour" });
  assert.ok(filters.isOfRecentFailures(on));
  assert.deepEqual(filters.withRecentFailures(on, false), { ...filters.EVERYTHING, name: "Orch" });
  assert.ok(!filters.isOfRecentFailures({ ...on, status: ["Failed", "Running"] }));
});
