// The output of a run over chunks of time, as the app of this repository returns it. Pure: JSON in, points and rows out.
//
// The output lists the chunks. Their statistics are in the results of the activities, or, for groups of chunks, in those
// of the sub-orchestrations.

const MOST_SERIES = 1000;
const MINUTE_MS = 60_000;
const DAY_S = 86_400;

/** The output of a run; null for another output, and for one that is cut. */
export function runOf(text) {
  if (!text || text.text.length < text.length) return null;
  const run = parsed(text.text);
  const isRun = isObject(run) && Number.isInteger(run.total_chunks) && isObject(run.summary) && Array.isArray(run.results)
    && Array.isArray(run.warnings ?? []);
  return isRun && run.results.every(isReport) && Object.values(run.summary).every(isObject) ? run : null;
}

/** Whether the beginning of an output is that of a run. */
export function looksLikeRun(text) {
  return Boolean(text) && /"total_chunks":/.test(text.text.slice(0, 500)) && /"chunk_id":/.test(text.text.slice(0, 2000));
}

/** The points that texts of results contain: chunks, or groups of chunks, with their windows in milliseconds. */
export function pointsIn(results) {
  return results.map((text) => pointOf(parsed(text))).filter(Boolean);
}

/** The points of the chart in order, with failed chunks that are in no group as points without statistics: gaps in the line. */
export function withGaps(run, points) {
  const covered = new Set(points.flatMap((point) => point.ids));
  const isGap = (report) => report.status === "failed" && !covered.has(report.chunk_id);
  const gaps = run.results.filter(isGap).map((report) => windowOf([report], {}));
  return [...points, ...gaps.filter(Boolean)].sort((a, b) => a.from - b.from);
}

function pointOf(result) {
  if (!isObject(result) || !isObject(result.statistics)) return null;
  const reports = (Array.isArray(result.results) ? result.results : [result]).filter(isReport);
  return reports.length ? windowOf(reports, shortened(result.statistics)) : null;
}

// What the page shows: the whole statistics of 5,000 chunks take a hundred megabytes.
function shortened(statistics) {
  const members = (each) => ({ mean: finite(each?.mean), min: finite(each?.min), max: finite(each?.max) });
  return Object.fromEntries(Object.entries(statistics).map(([name, each]) => [name, members(each)]));
}

function windowOf(reports, statistics) {
  const from = Date.parse(reports[0].start);
  const to = Date.parse(reports.at(-1).end);
  return Number.isFinite(from) && Number.isFinite(to) ? { ids: reports.map((report) => report.chunk_id), from, to, statistics } : null;
}

export function isGrouped(points) {
  return points.some((point) => point.ids.length > 1);
}

/** The names of the series, at most 1,000. */
export function seriesOf(run) {
  return Object.keys(run.summary).slice(0, MOST_SERIES);
}

/** The columns of the chart of a series: the middles of the windows in seconds, means, minima, maxima. */
export function columnsOf(points, name) {
  const column = (member) => points.map((point) => point.statistics[name]?.[member] ?? null);
  return [points.map((point) => (point.from + point.to) / 2000), column("mean"), column("min"), column("max")];
}

/** The chart in words. */
export function described(points, name) {
  const [, means, minima, maxima] = columnsOf(points, name).map((column) => column.filter((value) => value !== null));
  if (!means.length || !minima.length || !maxima.length) return `${name}: no values`;
  const unit = isGrouped(points) ? "groups of chunks" : "chunks";
  const span = `${instant(points[0].from)} to ${instant(points.at(-1).to)}`;
  const between = `means between ${figure(least(means))} and ${figure(most(means))}`;
  return `${name}, ${means.length} ${unit} from ${span}: ${between}, values from ${figure(least(minima))} to ${figure(most(maxima))}`;
}

/** The chunks as rows; `statistics` of the series are known for chunks that are points of their own. */
export function rowsOf(run, points, name) {
  const known = new Map(points.filter((point) => point.ids.length === 1).map((point) => [point.ids[0], point.statistics[name]]));
  return run.results.map((report) => ({
    id: report.chunk_id,
    isFailed: report.status === "failed",
    window: `${instant(Date.parse(report.start))} to ${instant(Date.parse(report.end))}`,
    records: finite(report.records),
    seconds: finite(report.processing_time),
    error: report.error ? [report.error.type, report.error.message].filter(Boolean).join(": ") : "",
    statistics: known.get(report.chunk_id) ?? null,
  }));
}

/** A number with six digits: `12.5`, `-0.0312`, `1.2e+21`; empty if there is none. */
export function figure(number) {
  const value = finite(number);
  return value === null ? "" : String(Number(value.toPrecision(6)));
}

/** A time in UTC, as short as it is exact: `2013-01-08 12:00`. */
export function instant(time) {
  if (!Number.isFinite(time)) return "";
  const text = new Date(time).toISOString().replace("T", " ");
  return time % MINUTE_MS === 0 ? text.slice(0, 16) : text.replace("Z", "").replace(".000", "");
}

/**
 * The texts below the marks of a time axis, with a date where a day begins. `times` and `step`, their distance, in seconds.
 *
 * Times of day below a day; days; months from 28 days on.
 */
export function axisTexts(times, step) {
  return times.map((time, number) => {
    const text = new Date(time * 1000).toISOString();
    const day = text.slice(0, step >= 28 * DAY_S ? 7 : 10);
    if (step >= DAY_S) return day;
    const clock = text.slice(11, step >= 60 ? 16 : step >= 1 ? 19 : 23);
    const isSameDay = number > 0 && Math.floor(times[number - 1] / DAY_S) === Math.floor(time / DAY_S);
    return isSameDay ? clock : `${clock}\n${day}`;
  });
}

// Math.min of many numbers is too many arguments.
function least(numbers) {
  return numbers.reduce((a, b) => (b < a ? b : a));
}

function most(numbers) {
  return numbers.reduce((a, b) => (b > a ? b : a));
}

function isReport(value) {
  return isObject(value) && Number.isInteger(value.chunk_id) && (value.status === "success" || value.status === "failed");
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function finite(value) {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

/** The JSON of a text, which may be within a text; null if it is none. */
function parsed(text) {
  let value = text;
  for (let level = 0; level < 3 && typeof value === "string"; level += 1) {
    try {
      value = JSON.parse(value);
    } catch {
      return null;
    }
  }
  return value;
}
