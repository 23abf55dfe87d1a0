import assert from "node:assert/strict";
import test from "node:test";

const { Reader } = await import(`${process.env.STATIC}/reader.mjs`);
const NO_PAUSE = { leastPause: 0, perRead: 0 };

/** Reads that end when the test says so: each is `{ signal, end, fail }`. */
function reads() {
  const begun = [];
  let hasBegun = null;
  const read = (signal) =>
    new Promise((end, fail) => {
      begun.push({ signal, end, fail });
      hasBegun?.();
    });
  const next = async () => {
    while (!begun.length) await new Promise((resolve) => (hasBegun = resolve));
    return begun.shift();
  };
  return { begun, read, next };
}

test("what changes while it reads is read once more, and not at the same time", async () => {
  const { begun, read, next } = reads();
  const reader = new Reader(read, assert.fail, NO_PAUSE);
  const ended = reader.ask();
  const first = await next();
  void reader.ask();
  void reader.ask();
  assert.equal(begun.length, 0);
  first.end();
  (await next()).end();
  await ended;
  assert.equal(begun.length, 0);
  const again = reader.ask();
  (await next()).end();
  await again;
});

test("it rests at least so long, and longer after a long read", () => {
  const reader = new Reader(null, null, { leastPause: 1000, perRead: 5 });
  assert.deepEqual([0, 200, 300].map((took) => reader.pause(took)), [1000, 1000, 1500]);
});

test("a read that fails is reported, and followed by others", async () => {
  const { read, next } = reads();
  const problems = [];
  const reader = new Reader(read, (error) => problems.push(error.message), NO_PAUSE);
  const ended = reader.ask();
  (await next()).fail(new Error("gone"));
  await ended;
  assert.deepEqual(problems, ["gone"]);
  const again = reader.ask();
  (await next()).end();
  await again;
});

test("its end aborts a read, which is no problem", async () => {
  const { begun, read, next } = reads();
  const reader = new Reader(read, assert.fail, NO_PAUSE);
  const ended = reader.ask();
  const { signal, fail } = await next();
  reader.end();
  assert.ok(signal.aborted);
  fail(new Error("aborted"));
  await ended;
  await reader.ask();
  assert.equal(begun.length, 0);
});
