import assert from "node:assert/strict";
import test from "node:test";

const layout = await import(`${process.env.STATIC}/layout.mjs`);
const AT = Date.parse("2026-01-05T10:00:00Z");
const time = (seconds) => new Date(AT + 1000 * seconds).toISOString();

test("an entry that has ended is a bar, one that has not goes on, an event is a mark", () => {
  const found = layout.bars(
    [
      { kind: "started", at: time(0) },
      { kind: "activity", name: "Work", task: 7, at: time(1), began: time(2), ended: time(3), failed: true },
      { kind: "timer", at: time(1) },
      { kind: "event", name: "approve", at: time(4) },
      { kind: "ended", at: time(5) },
    ],
    AT + 9000,
  );
  assert.deepEqual(found, [
    { index: 1, kind: "activity", name: "Work (task 7)", from: AT + 1000, to: AT + 3000, began: AT + 2000, state: "failed" },
    { index: 2, kind: "timer", name: "timer", from: AT + 1000, to: AT + 9000, began: null, state: "open" },
    { index: 3, kind: "event", name: "approve", from: AT + 4000, to: AT + 4000, began: null, state: "done" },
  ]);
});

test("bars share a lane unless they overlap", () => {
  const all = [[0, 10], [5, 7], [10, 12], [6, 20], [8, 9]].map(([from, to]) => ({ from, to }));
  assert.equal(layout.assignLanes(all), 3);
  assert.deepEqual(all.map((bar) => bar.lane), [0, 1, 0, 2, 1]);
});

test("marks of one moment do not hide each other", () => {
  const all = [{ from: 5, to: 5 }, { from: 5, to: 5 }];
  assert.equal(layout.assignLanes(all, 1), 2);
});

test("the range is never empty", () => {
  assert.deepEqual(layout.range([], null, null), { from: 0, to: 1 });
  assert.deepEqual(layout.range([], 5, 5), { from: 5, to: 6 });
  assert.deepEqual(layout.range([{ from: 2, to: 9 }], 5, 7), { from: 2, to: 9 });
});

test("ticks are round and not too many", () => {
  assert.deepEqual(layout.ticks(95, 10), [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]);
  assert.deepEqual(layout.ticks(130_000, 5), [0, 30_000, 60_000, 90_000, 120_000]);
  assert.ok(layout.ticks(1e12, 10).length <= 11);
});

test("the rows in sight are drawn, and the others take their room", () => {
  const table = { count: 5000, rowHeight: 36, top: 36_000, height: 360, more: 2 };
  assert.deepEqual(layout.visibleRows(table), { first: 998, last: 1012, before: 998 * 36, after: 5000 * 36 - 1012 * 36 });
  assert.deepEqual(layout.visibleRows({ ...table, count: 0 }), { first: 0, last: 0, before: 0, after: 0 });
  assert.deepEqual(layout.visibleRows({ ...table, top: 1e9 }).last, 5000);
});

test("unfolded rows take more room", () => {
  const table = { count: 10, rowHeight: 10, opened: [0, 5], openHeight: 100, height: 20, more: 0 };
  assert.deepEqual(layout.visibleRows({ ...table, top: 0 }), { first: 0, last: 1, before: 0, after: 90 + 100 });
  assert.deepEqual(layout.visibleRows({ ...table, top: 110 }), { first: 1, last: 3, before: 110, after: 70 + 100 });
  const all = layout.visibleRows({ ...table, top: 0, height: 1000 });
  assert.deepEqual([all.first, all.last, all.after], [0, 10, 0]);
});
