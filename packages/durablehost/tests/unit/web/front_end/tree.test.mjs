import assert from "node:assert/strict";
import test from "node:test";

const tree = await import(`${process.env.STATIC}/tree.mjs`);
const AT = Date.parse("2026-01-05T10:00:00Z");
const time = (seconds) => new Date(AT + 1000 * seconds).toISOString();

/** A sub-orchestration that has begun after `task` seconds; `ended`: after how many seconds. */
function child(id, { task = 0, ended, failed = false } = {}) {
  const end = ended === undefined ? {} : { ended: time(ended), failed };
  return { kind: "sub-orchestration", name: "Child", task, instanceId: id, at: time(task), ...end };
}

const ENDED = { kind: "ended", at: time(9) };
const done = (id, task = 0) => child(id, { task, ended: 9 });
const failed = (id, task = 0) => child(id, { task, ended: 9, failed: true });

function rowsOf(children, { ancestors = [], histories = {}, folds = {}, opened = [] } = {}) {
  const known = new Map(Object.entries(histories).map(([id, entries]) => [id, Array.isArray(entries) ? tree.branchOf(entries) : entries]));
  const rows = tree.treeRows({ ancestors, id: "run", children, histories: known, folds: new Map(Object.entries(folds)), opened: new Set(opened) });
  return { rows, next: tree.nextToOpen(rows, new Set(opened), known) };
}

/** The rows as text: the level, the id or the note, and `+` or `-` for a row that can be unfolded or folded. */
function drawn({ rows }) {
  return rows.map(({ level, id, note, canUnfold, isUnfolded }) => `${level} ${id ?? note}${canUnfold ? (isUnfolded ? " -" : " +") : ""}`);
}

test("the ancestors are above the instance, and its sub-orchestrations below it", () => {
  const ancestors = [{ id: "root", row: {} }, { id: "parent", row: {} }];
  const found = rowsOf([done("a"), done("b", 1)], { ancestors });
  assert.deepEqual(drawn(found), ["1 root", "2 parent", "3 run", "4 a +", "4 b +"]);
  assert.deepEqual(found.rows.map((row) => row.kind), ["ancestor", "ancestor", "current", "child", "child"]);
  assert.equal(new Set(found.rows.map((row) => row.key)).size, 5);
});

test("what is unfolded is below its row, at any depth, and what is below a folded row is hidden", () => {
  const histories = { a: [done("a1"), done("a2", 1)], a1: [done("a1x")] };
  const folds = { "/0 a": true, "/0 a/0 a1": true };
  assert.deepEqual(drawn(rowsOf([done("a"), done("b", 1)], { histories, folds })), ["1 run", "2 a -", "3 a1 -", "4 a1x +", "3 a2 +", "2 b +"]);
  const folded = rowsOf([done("a")], { histories, folds: { ...folds, "/0 a": false } });
  assert.deepEqual(drawn(folded), ["1 run", "2 a +"]);
  assert.ok(folded.rows.every((row) => !row.isRead));
});

test("an unfolded row says why nothing is below it", () => {
  const folds = { "/0 a": true };
  assert.deepEqual(drawn(rowsOf([done("a")], { folds })), ["1 run", "2 a -", "3 Loading …"]);
  assert.deepEqual(drawn(rowsOf([done("a")], { folds, histories: { a: [ENDED] } })), ["1 run", "2 a -", "3 No sub-orchestrations of its own."]);
  const gone = { a: tree.branchOf([], "It is gone.") };
  assert.deepEqual(drawn(rowsOf([done("a")], { folds, histories: gone })), ["1 run", "2 a -", "3 It is gone."]);
});

test("each attempt with the same id is a row, and the last one can be unfolded", () => {
  const found = rowsOf([failed("a"), done("a", 1)], { histories: { a: [done("a1"), ENDED] }, folds: { "/0 a": true, "/1 a": true } });
  assert.deepEqual(drawn(found), ["1 run", "2 a", "2 a -", "3 a1 +"]);
  assert.deepEqual(found.rows.slice(1, 3).map((row) => row.entry.failed), [true, false]);
});

test("the page unfolds failed rows to their causes first, then rows that have not ended, and leaves the others alone", () => {
  const children = [done("a"), child("b", { task: 1 }), failed("c", 2)];
  assert.equal(rowsOf(children).next, "/2 c");
  const opened = ["/2 c"];
  assert.equal(rowsOf(children, { opened }).next, null);
  const histories = { c: [done("c1"), failed("c2", 1), ENDED] };
  const second = rowsOf(children, { opened, histories });
  assert.deepEqual(drawn(second), ["1 run", "2 a +", "2 b +", "2 c -", "3 c1 +", "3 c2 +"]);
  assert.equal(second.next, "/2 c/1 c2");
  opened.push(second.next);
  histories.c2 = [ENDED];
  const third = rowsOf(children, { opened, histories });
  assert.deepEqual(drawn(third), ["1 run", "2 a +", "2 b +", "2 c -", "3 c1 +", "3 c2"]);
  assert.equal(third.next, "/1 b");
  assert.equal(rowsOf(children, { opened: [...opened, "/1 b"], histories: { ...histories, b: [] } }).next, null);
});

test("a row that the page has read and that has nothing below it is read no more, and can be unfolded until it has ended", () => {
  const running = rowsOf([child("a")], { opened: ["/0 a"], histories: { a: [] } });
  assert.deepEqual([drawn(running)[1], running.rows[1].isRead], ["2 a +", false]);
  const ended = rowsOf([done("a")], { opened: ["/0 a"], histories: { a: [ENDED] } });
  assert.deepEqual([drawn(ended)[1], ended.rows[1].isRead], ["2 a", false]);
  const unfolded = rowsOf([child("a")], { opened: ["/0 a"], histories: { a: [child("a1")] } });
  assert.deepEqual([drawn(unfolded)[1], unfolded.rows[1].isRead], ["2 a -", true]);
});

test("the reader can fold what the page has unfolded", () => {
  const found = rowsOf([failed("a")], { opened: ["/0 a"], histories: { a: [failed("a1")] }, folds: { "/0 a": false } });
  assert.deepEqual([drawn(found), found.next], [["1 run", "2 a +"], null]);
});

test("the page unfolds a bounded number of rows, and fewer that have not ended", () => {
  const running = Array.from({ length: 5000 }, (_, number) => child(`r${number}`, { task: number }));
  const opened = [];
  const histories = {};
  const openAll = (children) => {
    for (;;) {
      const { next } = rowsOf(children, { opened, histories });
      if (next === null) return opened.length;
      opened.push(next);
      histories[next.split(" ")[1]] = [];
    }
  };
  assert.equal(openAll(running), 5);
  assert.equal(openAll([...running, failed("f", 5000)]), 6);
  assert.equal(openAll(running.map(({ instanceId, task }) => failed(instanceId, task))), 10);
});

test("a sub-orchestration is as its entry says, or as a newer row of its id says", () => {
  const row = { status: "Suspended", created: time(0), updated: time(5), progress: { done: 1, total: 2 } };
  const now = AT + 20_000;
  assert.deepEqual(tree.stateOf(child("a"), undefined, now), { status: "Running", ran: 20_000, progress: null });
  assert.deepEqual(tree.stateOf(failed("a"), undefined, now), { status: "Failed", ran: 9000, progress: null });
  assert.deepEqual(tree.stateOf(child("a"), row, now), { status: "Suspended", ran: 20_000, progress: row.progress });
  assert.equal(tree.stateOf(done("a"), row, now).status, "Completed");
  assert.equal(tree.stateOf(failed("a"), { ...row, status: "Terminated", updated: time(9) }, now).status, "Terminated");
  assert.equal(tree.stateOf(child("a"), { ...row, status: "Completed", completed: time(4) }, now).ran, 4000);
});

test("the row of another attempt with the same id says nothing about an entry", () => {
  const now = AT + 20_000;
  const second = { status: "Running", created: time(10), updated: time(11), progress: null };
  assert.equal(tree.stateOf(failed("a"), second, now).status, "Failed");
  const first = { status: "Failed", created: time(0), updated: time(9), progress: null };
  assert.equal(tree.stateOf(child("a", { task: 10 }), first, now).status, "Running");
});

/** The ids of the ancestors of `run`, whose parent is `parent`, with `?` for those that are gone. */
async function chain(parent, parents) {
  const reads = [];
  const read = async (id) => {
    reads.push(id);
    return id in parents ? { id, parentId: parents[id] } : null;
  };
  const found = await tree.ancestorsOf("run", parent, read);
  return { found: found.map(({ id, isGone }) => (isGone ? `${id}?` : id)), reads };
}

test("ancestors are read up to the root, to one that is gone, or to a cycle", async () => {
  assert.deepEqual(await chain(null, {}), { found: [], reads: [] });
  assert.deepEqual(await chain("b", { b: "a", a: null }), { found: ["a", "b"], reads: ["b", "a"] });
  assert.deepEqual((await chain("b", { b: "a" })).found, ["a?", "b"]);
  assert.deepEqual((await chain("b", { b: "a", a: "run" })).found, ["a", "b"]);
  assert.deepEqual((await chain("b", { b: "a", a: "b" })).found, ["a", "b"]);
});

test("a bounded number of ancestors is read, and the next one is named", async () => {
  const parents = Object.fromEntries(Array.from({ length: 100 }, (_, number) => [`p${number}`, `p${number + 1}`]));
  const { found, reads } = await chain("p0", parents);
  assert.deepEqual([reads.length, found.length, found[0]], [20, 21, "p20"]);
});

test("a sub-orchestration that has not begun is pending, until there is a row of it", () => {
  const row = { status: "Running", created: time(0), updated: time(1), progress: null };
  assert.equal(tree.stateOf(child("a"), undefined, AT, true).status, "Pending");
  assert.equal(tree.stateOf(child("a"), row, AT, true).status, "Running");
  assert.equal(tree.stateOf(failed("a"), undefined, AT, true).status, "Failed");
});

test("the arrow keys walk through the rows, and fold and unfold them", () => {
  const histories = { b: [done("b1"), done("b2", 1)] };
  const { rows } = rowsOf([done("a"), done("b", 1)], { histories, folds: { "/1 b": true } });
  assert.deepEqual(drawn({ rows }), ["1 run", "2 a +", "2 b -", "3 b1 +", "3 b2 +"]);
  const pressed = (number, key) => {
    const found = tree.keyed(rows, number, key);
    return found?.fold ? `fold ${found.fold.id}` : found && found.row;
  };
  assert.deepEqual([0, 1, 2, 3, 4].map((number) => pressed(number, "ArrowDown")), [1, 2, 3, 4, null]);
  assert.deepEqual([0, 1, 2, 3, 4].map((number) => pressed(number, "ArrowUp")), [null, 0, 1, 2, 3]);
  assert.deepEqual([0, 1, 2, 3, 4].map((number) => pressed(number, "ArrowRight")), [1, "fold a", 3, "fold b1", "fold b2"]);
  assert.deepEqual([0, 1, 2, 3, 4].map((number) => pressed(number, "ArrowLeft")), [null, 0, "fold b", 2, 2]);
  const withNote = rowsOf([done("a"), done("b", 1)], { folds: { "/0 a": true, "/1 b": true } }).rows;
  assert.deepEqual(drawn({ rows: withNote }), ["1 run", "2 a -", "3 Loading …", "2 b -", "3 Loading …"]);
  const target = (number, key) => tree.keyed(withNote, number, key)?.row;
  assert.deepEqual([target(1, "ArrowDown"), target(1, "ArrowRight"), target(3, "ArrowUp"), target(0, "End")], [3, undefined, 1, 3]);
  assert.deepEqual([pressed(0, "Home"), pressed(3, "Home"), pressed(3, "End"), pressed(3, "Tab")], [null, 0, 4, null]);
});
