import assert from "node:assert/strict";
import test from "node:test";

const output = await import(`${process.env.STATIC}/output.mjs`);

const DAY = 86_400_000;
const BEGIN = Date.UTC(2013, 0, 1);
const day = (number) => new Date(BEGIN + number * DAY).toISOString().replace(".000", "");

function report(id) {
  return { chunk_id: id, status: "success", processing_time: 0.25, start: day(id), end: day(id + 1), records: 24 };
}

function failure(id) {
  return { chunk_id: id, status: "failed", start: day(id), end: day(id + 1), error: { type: "ReadingsError", message: "damaged" } };
}

function statistics(mean) {
  return { count: 24, mean, std: 1, min: mean - 5, max: mean + 5, nulls: 0 };
}

function chunk(id, mean) {
  return JSON.stringify({ ...report(id), statistics: { temp: statistics(mean) } });
}

function run(results, changes = {}) {
  return { status: "completed", total_chunks: results.length, results, summary: { temp: statistics(0) }, ...changes };
}

function pointsOf(known, results) {
  return output.withGaps(known, output.pointsIn(results));
}

function text(value, length = null) {
  const written = typeof value === "string" ? value : JSON.stringify(value);
  return { text: written, length: length ?? written.length };
}

test("the output of a run is known by its members", () => {
  const known = run([report(0), failure(1)]);
  assert.deepEqual(output.runOf(text(known)), known);
  // The SDK may have made JSON of a text.
  assert.deepEqual(output.runOf(text(JSON.stringify(JSON.stringify(known)))), known);
  assert.deepEqual(output.runOf(text(run([], { total_chunks: 500 }))).results, []);
});

test("other outputs are none of a run", () => {
  const others = [null, text("17"), text("null"), text("[]"), text("{"), text('"done"'), text({ results: [] }), text(run([{ chunk_id: "a" }])),
    text(run([report(0)], { summary: [] })), text(run([null])), text(run([report(0)], { summary: { temp: null } })),
    text(run([report(0)], { warnings: "none" })), text(run([report(0)]), 99_999)];
  assert.deepEqual(others.map(output.runOf), others.map(() => null));
});

test("the beginning of an output shows that it may be that of a run", () => {
  assert.ok(output.looksLikeRun(text(run([report(0)]))));
  assert.ok(!output.looksLikeRun(text({ rows: [1, 2] })));
  assert.ok(!output.looksLikeRun(null));
});

test("each chunk is a point, in the order of time, and a failed one is a gap", () => {
  const points = pointsOf(run([report(0), failure(1), report(2)]), [chunk(2, 7), chunk(0, 3), '"plan"', "nonsense", "{}"]);
  assert.deepEqual(points.map((point) => point.ids), [[0], [1], [2]]);
  assert.deepEqual(output.columnsOf(points, "temp"), [
    [BEGIN / 1000 + 43_200, BEGIN / 1000 + 129_600, BEGIN / 1000 + 216_000],
    [3, null, 7],
    [-2, null, 2],
    [8, null, 12],
  ]);
  assert.ok(!output.isGrouped(points));
});

test("a group of chunks is a point over all of its window", () => {
  const group = JSON.stringify({ results: [report(0), failure(1), report(2)], statistics: { temp: statistics(4) } });
  const points = pointsOf(run([report(0), failure(1), report(2)]), [group]);
  assert.deepEqual(points.map(({ ids, from, to }) => ({ ids, from, to })), [{ ids: [0, 1, 2], from: BEGIN, to: BEGIN + 3 * DAY }]);
  assert.ok(output.isGrouped(points));
  assert.equal(output.rowsOf(run([report(0)]), points, "temp")[0].statistics, null);
});

test("results that are damaged are left out", () => {
  const damaged = [{ ...report(0), start: "soon", statistics: {} }, { statistics: {} }, { results: [], statistics: {} }];
  assert.deepEqual(pointsOf(run([]), damaged.map((each) => JSON.stringify(each))), []);
});

test("the chart is said in words", () => {
  const points = pointsOf(run([report(0), failure(1), report(2)]), [chunk(0, 3), chunk(2, 7)]);
  assert.equal(
    output.described(points, "temp"),
    "temp, 2 chunks from 2013-01-01 00:00 to 2013-01-04 00:00: means between 3 and 7, values from -2 to 12",
  );
  assert.equal(output.described(points, "wind"), "wind: no values");
});

test("each chunk is a row with the statistics of the series", () => {
  const known = run([report(0), failure(1)]);
  const [first, second] = output.rowsOf(known, pointsOf(known, [chunk(0, 3)]), "temp");
  assert.deepEqual(first, {
    id: 0, isFailed: false, window: "2013-01-01 00:00 to 2013-01-02 00:00", records: 24, seconds: 0.25, error: "", statistics: { mean: 3, min: -2, max: 8 },
  });
  assert.deepEqual([second.isFailed, second.error, second.records, second.statistics], [true, "ReadingsError: damaged", null, null]);
});

test("5,000 chunks and more are no problem", () => {
  const ids = Array.from({ length: 20_000 }, (_, id) => id);
  const points = pointsOf(run(ids.map(report)), ids.map((id) => chunk(id, id % 30)));
  assert.equal(output.columnsOf(points, "temp")[1].length, 20_000);
  assert.match(output.described(points, "temp"), /means between 0 and 29/);
});

test("numbers have six digits, and times no more than they need", () => {
  assert.deepEqual([12.5, -0.03120001, 1234567.8, 1e21, 0, null, undefined, NaN].map(output.figure), ["12.5", "-0.0312", "1234570", "1e+21", "0", "", "", ""]);
  assert.equal(output.instant(BEGIN + 12 * 3_600_000), "2013-01-01 12:00");
  assert.equal(output.instant(BEGIN + 1000), "2013-01-01 00:00:01");
  assert.equal(output.instant(BEGIN + 1), "2013-01-01 00:00:00.001");
  assert.equal(output.instant(NaN), "");
});

test("a time axis has dates where days begin, and no more than it needs", () => {
  const at = BEGIN / 1000;
  assert.deepEqual(output.axisTexts([at - 3600, at, at + 3600], 3600), ["23:00\n2012-12-31", "00:00\n2013-01-01", "01:00"]);
  assert.deepEqual(output.axisTexts([at, at + 86_400], 86_400), ["2013-01-01", "2013-01-02"]);
  assert.deepEqual(output.axisTexts([at, at + 31 * 86_400], 28 * 86_400), ["2013-01", "2013-02"]);
  assert.deepEqual(output.axisTexts([at + 1, at + 1.5], 0.5), ["00:00:01.000\n2013-01-01", "00:00:01.500"]);
  assert.deepEqual(output.axisTexts([at + 30], 30), ["00:00:30\n2013-01-01"]);
});
