import assert from "node:assert/strict";
import test from "node:test";

const { bucketAt, bucketWords, bucketsOf, plotWords, selection, stack, tickText } = await import(`${process.env.STATIC}/buckets.mjs`);
const AT = Date.parse("2026-01-05T10:00:00Z");
const MINUTE = 60_000;
const ANY = { from: null, to: null };

test("times are counted in round buckets that begin at round times", () => {
  const buckets = bucketsOf({ Completed: [AT + 1.5 * MINUTE, AT + 9 * MINUTE], Failed: [AT + MINUTE] }, ANY, { most: 10 });
  assert.deepEqual([buckets.begin, buckets.step, buckets.total], [AT + MINUTE, MINUTE, 3]);
  assert.deepEqual(buckets.counts.Completed, [1, 0, 0, 0, 0, 0, 0, 0, 1]);
  assert.deepEqual(buckets.counts.Failed, [1, 0, 0, 0, 0, 0, 0, 0, 0]);
});

test("there are never more buckets than wanted, and none without a time", () => {
  for (const length of [0, 999, 1000, 59_000, 3.6e6, 4.1e7, 9e9, 1e12])
    for (const most of [12, 60]) {
      const buckets = bucketsOf({ Running: [AT + 123, AT + 123 + length] }, ANY, { most });
      assert.ok(buckets.counts.Running.length <= most, `${length} in ${most}`);
      assert.equal(buckets.total, 2);
    }
  assert.equal(bucketsOf({}, ANY, { most: 10 }), null);
  assert.equal(bucketsOf({ Running: [AT] }, { from: AT + 2, to: AT + 1 }, { most: 10 }), null);
});

test("the range of the filter is the range of the plot", () => {
  const buckets = bucketsOf({ Running: [AT - 1, AT, AT + 30 * MINUTE] }, { from: AT, to: AT + 60 * MINUTE }, { most: 13 });
  assert.deepEqual([buckets.begin, buckets.step, buckets.total], [AT, 5 * MINUTE, 2]);
  assert.equal(buckets.counts.Running.length, 12);
});

test("an instance of the last moment of the range is in the last bucket", () => {
  const buckets = bucketsOf({ Running: [AT + 10 * MINUTE] }, { from: AT, to: AT + 10 * MINUTE }, { most: 11 });
  assert.deepEqual(buckets.counts.Running, [0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
});

test("days begin at midnight of the local zone", () => {
  const buckets = bucketsOf({ Running: [AT, AT + 20 * 24 * 60 * MINUTE] }, ANY, { most: 30, offset: 120 * MINUTE });
  assert.equal(new Date(buckets.begin).toISOString(), "2026-01-04T22:00:00.000Z");
});

test("parts are stacked, the highest first, with the failed on top", () => {
  const buckets = bucketsOf({ Completed: [AT, AT], Failed: [AT], Running: [AT + 1000] }, ANY, { most: 12 });
  const tops = stack(buckets).filter(({ tops: each }) => each.some((top) => top !== null));
  assert.deepEqual(tops, [
    { status: "Failed", tops: [3, null] }, { status: "Running", tops: [null, 1] }, { status: "Completed", tops: [2, null] },
  ]);
});

test("a bucket becomes a filter for its time", () => {
  const buckets = bucketsOf({ Running: [AT, AT + 9 * MINUTE] }, ANY, { most: 10 });
  assert.equal(bucketAt(buckets, AT + 3.5 * MINUTE), 3);
  assert.equal(bucketAt(buckets, AT - 1), 0);
  assert.equal(bucketAt(buckets, AT + 1e9), 9);
  assert.deepEqual(selection(buckets, 3, 4), { created: "range", from: "2026-01-05T10:03:00", to: "2026-01-05T10:05:00" });
});

test("words say what the plot shows", () => {
  const buckets = bucketsOf({ Completed: [AT, AT], Failed: [AT], Running: [AT + 60 * MINUTE] }, ANY, { most: 13 });
  assert.equal(bucketWords(buckets, 0, AT), "10:00:00 to 10:05:00: 2 Completed, 1 Failed");
  assert.equal(bucketWords(buckets, 1, AT), "10:05:00 to 10:10:00: none");
  assert.equal(plotWords(buckets, AT), "Created per 5 min, 4 in all: 10:00:00 to 10:05:00: 2 Completed, 1 Failed; 11:00:00 to 11:05:00: 1 Running.");
});

test("ticks have the time of day, and midnights the date", () => {
  assert.equal(tickText(AT, 5 * MINUTE), "10:00");
  assert.equal(tickText(AT + 15_000, 15_000), "10:00:15");
  assert.equal(tickText(AT - 10 * 60 * MINUTE, 60 * MINUTE), "01-05");
  assert.equal(tickText(AT, 24 * 60 * MINUTE), "01-05");
});
