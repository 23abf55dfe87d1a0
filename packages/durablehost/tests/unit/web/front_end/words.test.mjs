import assert from "node:assert/strict";
import test from "node:test";

const words = await import(`${process.env.STATIC}/words.mjs`);
const NOW = Date.parse("2026-01-05T10:05:00Z");

function row(changes) {
  return { status: "Running", created: "2026-01-05T10:03:00Z", updated: "2026-01-05T10:04:00Z", completed: null, progress: null, ...changes };
}

test("durations have at most two units", () => {
  const shown = [0, 999, 1000, 2449, 9949, 9950, 59_400, 59_600, 72_000, 3_599_000, 3_600_000, 7_500_000, 86_400_000, 273_600_000];
  assert.deepEqual(shown.map((ms) => words.duration(ms)), [
    "0 ms", "999 ms", "1 s", "2.4 s", "9.9 s", "10 s", "59 s", "1 min", "1 min 12 s", "59 min 59 s", "1 h", "2 h 5 min", "1 d", "3 d 4 h",
  ]);
  assert.equal(words.duration(-5), "0 ms");
});

test("a time that is missing has no words", () => {
  assert.equal(words.timeOf("1601-01-01T00:00:00Z"), null);
  assert.equal(words.timeOf(null), null);
  assert.equal(words.timeOf("nonsense"), null);
  assert.equal(words.moment(null, NOW), "");
  assert.equal(words.ago(null, NOW), "");
  assert.equal(words.runTime(row({ created: "1601-01-01T00:00:00Z" }), NOW), null);
});

test("a time of another day has its date", () => {
  assert.equal(words.moment(Date.parse("2026-01-05T09:08:07.06Z"), NOW), "09:08:07");
  assert.equal(words.moment(Date.parse("2026-01-05T09:08:07.06Z"), NOW, true), "09:08:07.060");
  assert.equal(words.moment(Date.parse("2025-12-31T23:00:00Z"), NOW), "2025-12-31 23:00:00");
});

test("a time that has just passed is named by its distance", () => {
  const shown = [500, 3000, 120_000, 7_200_000, 200_000_000].map((ms) => words.ago(NOW - ms, NOW));
  assert.deepEqual(shown, ["just now", "3 s ago", "2 min ago", "2 h ago", "2 d ago"]);
});

test("the head line says how long and how far", () => {
  const progress = { done: 63, total: 100, failed: 2, unit: "chunks" };
  assert.equal(words.headline(row({ progress }), null, NOW), "Running for 2 min: 63 of 100 chunks, 2 failed");
  const ending = { ...progress, end: "2026-01-05T10:06:05Z" };
  assert.equal(words.headline(row({ progress: ending }), null, NOW), "Running for 2 min: 63 of 100 chunks, 2 failed, about 1 min 5 s left");
  assert.equal(words.headline(row({ progress: { ...progress, end: "2026-01-05T10:05:00Z" } }), null, NOW), "Running for 2 min: 63 of 100 chunks, 2 failed");
  assert.equal(words.headline(row({ progress: ending, status: "Failed" }), null, NOW), "Failed after 1 min: 63 of 100 chunks, 2 failed");
  assert.equal(words.headline(row({ status: "Pending" }), null, NOW), "Pending for 2 min");
  assert.equal(words.headline(row({ status: "Suspended" }), null, NOW), "Suspended; created 2 min ago");
  const ended = row({ status: "Failed", completed: "2026-01-05T10:03:05Z" });
  assert.equal(words.headline(ended, { done: 3, total: 4, failed: 1, unit: "activities" }, NOW), "Failed after 5 s: 3 of 4 activities, 1 failed");
});

test("tasks are counted without timers and events", () => {
  const entries = [{ kind: "started" }, { kind: "activity", ended: "x", failed: true }, { kind: "activity" }, { kind: "timer", ended: "x" }];
  assert.deepEqual(words.countTasks(entries), { done: 1, total: 2, failed: 1, unit: "activities" });
  assert.equal(words.countTasks([...entries, { kind: "sub-orchestration", ended: "x" }]).unit, "tasks");
  assert.equal(words.countTasks([{ kind: "timer" }]), null);
  assert.equal(words.countTasks([{ kind: "activity" }]).unit, "activity");
});

test("large numbers have separators", () => {
  assert.deepEqual([0, 999, 1000, 1234567].map(words.count), ["0", "999", "1,000", "1,234,567"]);
  assert.equal(words.progressText({ done: 1000, total: 5000, failed: 0, unit: "" }), "1,000 of 5,000");
});

test("whole JSON gets indents, other texts stay as they are", () => {
  assert.equal(words.pretty({ text: '{"a":1}', length: 7 }), '{\n  "a": 1\n}');
  assert.equal(words.pretty({ text: '{"a":1', length: 700 }), '{"a":1');
  assert.equal(words.cutNote({ text: '{"a":1', length: 7000 }), "The first 6 of 7,000 characters.");
  assert.equal(words.pretty({ text: "no JSON", length: 7 }), "no JSON");
  assert.equal(words.pretty(null), "");
});

test("JSON keeps the digits of long numbers, and members of the same name", () => {
  const text = (value) => ({ text: value, length: value.length });
  const stored = '{"id":12345678901234567890,"rate":1.0,"id":2}';
  assert.equal(words.pretty(text(stored)), '{\n  "id": 12345678901234567890,\n  "rate": 1.0,\n  "id": 2\n}');
  assert.equal(words.readable(text(JSON.stringify(stored)), true), stored);
  assert.equal(words.readable(text(JSON.stringify([stored]))), words.pretty(text(stored)));
  assert.equal(words.readable(text('[ 12345678901234567890 ]'), true), "[12345678901234567890]");
  assert.equal(words.failureText(text('{"code": 12345678901234567890}')), '{\n  "code": 12345678901234567890\n}');
});

test("a failure is shown by its message and its traceback", () => {
  const text = (value) => ({ text: value, length: value.length });
  assert.equal(words.failureText(text("it broke\nline 2")), "it broke\nline 2");
  const details = JSON.stringify({ Message: " ValueError: no", InnerException: { StackTraceString: 'File "x"\nline 2' } });
  assert.equal(words.failureText(text(details)), ' ValueError: no\nFile "x"\nline 2');
  const stored = `the activity failed: no\n ${details.replace("{", '{"$type":"System.Exception",')}`;
  assert.equal(words.failureText(text(stored)), 'the activity failed: no\nFile "x"\nline 2');
  assert.equal(words.failureText(null), "");
});

test("JSON inside a text is shown as JSON, because the SDK encodes inputs twice", () => {
  const text = (value) => ({ text: value, length: value.length });
  assert.equal(words.readable(text('"{\\"a\\": 1}"'), true), '{"a":1}');
  assert.equal(words.readable(text('["{\\"a\\": 1}"]'), true), '{"a":1}');
  assert.equal(words.readable(text('["one", "two"]'), true), '["one","two"]');
  assert.equal(words.readable(text('"plain"')), '"plain"');
  assert.equal(words.readable(text("no JSON")), "no JSON");
  assert.equal(words.readable({ text: '"{\\"a', length: 900 }), '"{\\"a');
  assert.equal(words.readable(null), "");
});
