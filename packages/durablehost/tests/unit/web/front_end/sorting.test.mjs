import assert from "node:assert/strict";
import test from "node:test";

const sorting = await import(`${process.env.STATIC}/sorting.mjs`);
const NOW = Date.parse("2026-01-05T10:00:00Z");
const ROWS = [
  { id: "b", name: "Orch", status: "Failed", created: "2026-01-05T09:00:00Z", updated: "2026-01-05T09:01:00Z" },
  { id: "c", name: "Audit", status: "Running", created: "2026-01-05T08:00:00Z", updated: "2026-01-05T09:59:00Z" },
  { id: "a", name: "Orch", status: "Completed", created: "2026-01-05T09:00:00Z", updated: "2026-01-05T09:00:30Z" },
];
const ids = (sort) => sorting.sortRows(ROWS, sort, NOW).map((row) => row.id).join("");

test("rows are the newest first, and those of one moment by id, unless another order is chosen", () => {
  assert.equal(ids(""), "abc");
  assert.equal(ids("nonsense"), "abc");
  assert.equal(ids("created"), "cab");
  assert.equal(ids("-updated"), "cba");
  assert.equal(ids("name"), "cab");
  assert.equal(ids("-id"), "cba");
  assert.equal(ids("-duration"), "cba");
  assert.equal(ids("status"), "cab");
});

test("a click on the head of a column sorts by it, a second one turns the order round", () => {
  assert.equal(sorting.nextSort("", "created"), "created");
  assert.equal(sorting.nextSort("created", "created"), "");
  assert.equal(sorting.nextSort("", "name"), "name");
  assert.equal(sorting.nextSort("name", "name"), "-name");
  assert.equal(sorting.nextSort("name", "duration"), "-duration");
});
