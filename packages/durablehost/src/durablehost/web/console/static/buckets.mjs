// How many instances were created when, by status: counts in buckets of equal length. Pure. Times are milliseconds.

import { roundStep } from "./layout.mjs";
import { STATUSES, count, duration, moment, two } from "./words.mjs";

const LEAST_STEP = 1000;
const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
// From the bottom of a bar to its top.
const STACKED = ["Completed", "Running", "Pending", "Suspended", "ContinuedAsNew", "Canceled", "Terminated", "Failed"];

/**
 * At most `most` buckets from the first time to the last: `{ begin, step, counts, total }`, `counts` by status.
 *
 * `created` are the times by status, `range` what the filter allows; null in it: as far as the times go. `offset` is that
 * of the local zone, so that days begin at midnight. Null if there is nothing to count.
 */
export function bucketsOf(created, range, { most, offset = 0 }) {
  const times = STATUSES.flatMap((status) => created[status] ?? []);
  const first = range.from ?? times.reduce((least, time) => Math.min(least, time), Infinity);
  const last = range.to ?? times.reduce((greatest, time) => Math.max(greatest, time), -Infinity);
  if (!times.length || last < first) return null;
  const step = Math.max(LEAST_STEP, roundStep(last - first, most - 1));
  const begin = Math.floor((first + offset) / step) * step - offset;
  const length = Math.max(1, range.to === null ? Math.floor((last - begin) / step) + 1 : Math.ceil((last - begin) / step));
  const counts = {};
  for (const status of STATUSES) {
    counts[status] = new Array(length).fill(0);
    for (const time of created[status] ?? [])
      if (time >= first && time <= last) counts[status][Math.min(length - 1, Math.floor((time - begin) / step))] += 1;
  }
  return { begin, step, counts, total: sum(STATUSES.map((status) => sum(counts[status]))) };
}

/** How high the part of each status reaches, the highest first, as they are drawn over each other; null: it has no part. */
export function stack(buckets) {
  const tops = [];
  let below = buckets.counts[STACKED[0]].map(() => 0);
  for (const status of STACKED) {
    const here = below.map((height, index) => height + buckets.counts[status][index]);
    tops.unshift({ status, tops: here.map((height, index) => (buckets.counts[status][index] ? height : null)) });
    below = here;
  }
  return tops;
}

/** The number of the bucket with this time; the first or the last one for a time outside. */
export function bucketAt(buckets, time) {
  const length = buckets.counts[STATUSES[0]].length;
  return Math.max(0, Math.min(length - 1, Math.floor((time - buckets.begin) / buckets.step)));
}

/** The part of a filter that selects the buckets from `first` to `last`. */
export function selection(buckets, first, last) {
  const at = (index) => localText(buckets.begin + index * buckets.step);
  return { created: "range", from: at(first), to: at(last + 1) };
}

/** `09:30:00 to 09:35:00: 2 Completed, 1 Failed`. */
export function bucketWords(buckets, index, now) {
  const from = buckets.begin + index * buckets.step;
  const parts = STACKED.filter((status) => buckets.counts[status][index]).map(
    (status) => `${count(buckets.counts[status][index])} ${status}`,
  );
  return `${moment(from, now)} to ${moment(from + buckets.step, now)}: ${parts.join(", ") || "none"}`;
}

/** What the plot shows, for those who do not see it. */
export function plotWords(buckets, now) {
  const shown = buckets.counts[STATUSES[0]].map((_, index) => index).filter((index) => STATUSES.some((status) => buckets.counts[status][index]));
  return `Created per ${duration(buckets.step)}, ${count(buckets.total)} in all: ${shown.map((index) => bucketWords(buckets, index, now)).join("; ")}.`;
}

/** The text below a tick of the axis; `step` is the time from tick to tick. Midnight has the date. */
export function tickText(time, step) {
  const at = new Date(time);
  const clock = [at.getHours(), at.getMinutes()].map(two).join(":");
  if (step >= DAY || (clock === "00:00" && at.getSeconds() === 0)) return `${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return step >= MINUTE ? clock : `${clock}:${two(at.getSeconds())}`;
}

/** A time as fields of a form have it: local, without a zone. */
function localText(time) {
  const at = new Date(time);
  const date = [at.getFullYear(), two(at.getMonth() + 1), two(at.getDate())].join("-");
  return `${date}T${[at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(":")}`;
}

function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0);
}
