import assert from "node:assert/strict";
import test from "node:test";

const lines = await import(`${process.env.STATIC}/lines.mjs`);

function line(number, level = 20, task = null, text = "") {
  return { number, level, task, text: { text, length: text.length } };
}

test("the lines of several answers are one list, and only later ones are asked for", () => {
  assert.equal(lines.lastNumber(lines.NO_LINES), 0);
  const first = lines.withAnswer(lines.NO_LINES, { lines: [line(3), line(4)], logged: 2, isKept: true });
  assert.equal(lines.lastNumber(first), 4);
  const second = lines.withAnswer(first, { lines: [line(9)], logged: 3, isKept: true });
  assert.deepEqual(second.lines.map((each) => each.number), [3, 4, 9]);
  assert.equal(lines.withAnswer(second, { lines: [], logged: 3, isKept: true }).lines, second.lines);
});

test("lines that the host has dropped before this page saw them are counted", () => {
  const known = lines.withAnswer(lines.NO_LINES, { lines: [line(8), line(9)], logged: 7, isKept: true });
  assert.equal(lines.missing(known), 5);
  // The host has forgotten the instance and begun to count again.
  assert.equal(lines.missing({ ...known, logged: 1 }), 0);
});

test("a page keeps a bounded number of lines", () => {
  const many = Array.from({ length: 25_000 }, (_, number) => line(number + 1));
  const known = lines.withAnswer(lines.NO_LINES, { lines: many, logged: 25_000, isKept: true });
  assert.deepEqual([known.lines.length, lines.lastNumber(known), lines.missing(known)], [20_000, 25_000, 5000]);
});

test("a page keeps a bounded amount of text, and counts the oldest lines that it drops", () => {
  const text = "x".repeat(8000);
  const many = Array.from({ length: 1500 }, (_, number) => line(number + 1, 20, null, text));
  const known = lines.withAnswer(lines.NO_LINES, { lines: many, logged: 1500, isKept: true });
  assert.deepEqual([known.lines.length, known.lines[0].number, lines.missing(known)], [1000, 501, 500]);
  const more = lines.withAnswer(known, { lines: [line(1501, 20, null, text)], logged: 1501, isKept: true });
  assert.deepEqual([more.lines.length, more.lines[0].number, lines.missing(more)], [1000, 502, 501]);
});

test("lines are shown by level and by task", () => {
  const all = [line(1), line(2, 30, 0), line(3, 40, 1), line(4, 50, 0)];
  const numbers = (least, task) => lines.shownLines(all, least, task).map((each) => each.number);
  assert.deepEqual(numbers(lines.LEAST.all, null), [1, 2, 3, 4]);
  assert.deepEqual(numbers(lines.LEAST.warnings, null), [2, 3, 4]);
  assert.deepEqual(numbers(lines.LEAST.errors, 0), [4]);
});

test("a level has the name of the level at or below it", () => {
  assert.deepEqual([0, 10, 20, 25, 30, 40, 50, 60].map(lines.levelName), [
    "debug", "debug", "info", "info", "warning", "error", "critical", "critical",
  ]);
});

test("a row has the first line of a text that is not blank", () => {
  assert.equal(lines.firstLine("\n\n  Traceback:\n  File"), "Traceback:");
  assert.equal(lines.firstLine(""), "");
});
