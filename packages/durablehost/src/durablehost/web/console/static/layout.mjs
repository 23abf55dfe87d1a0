// Where the timeline and the tables draw what. Pure: numbers in, numbers out. Times are milliseconds.

import { timeOf } from "./words.mjs";

const SPANS = new Set(["activity", "sub-orchestration", "timer"]);
const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 1.5e4, 3e4, 6e4, 1.2e5, 3e5, 6e5, 9e5, 1.8e6,
  3.6e6, 7.2e6, 1.08e7, 2.16e7, 4.32e7, 8.64e7];

/**
 * A bar for each entry that takes time, and a mark (`to` equals `from`) for each event.
 *
 * `end`: when a bar ends whose entry has not. `began` is where waiting becomes running; null if that is not known.
 */
export function bars(entries, end) {
  const found = [];
  entries.forEach((entry, index) => {
    const from = timeOf(entry.at);
    if (from === null || entry.kind === "started" || entry.kind === "ended") return;
    const isSpan = SPANS.has(entry.kind);
    const to = isSpan ? Math.max(from, timeOf(entry.ended) ?? end) : from;
    const state = entry.failed ? "failed" : isSpan && !entry.ended ? "open" : "done";
    found.push({ index, kind: entry.kind, name: nameOf(entry), from, to, began: timeOf(entry.began), state });
  });
  return found;
}

function nameOf(entry) {
  const name = entry.name ?? entry.kind;
  return entry.task === undefined ? name : `${name} (task ${entry.task})`;
}

/** Puts bars that do not overlap into one lane: adds `lane` to each bar, and returns how many lanes there are. */
export function assignLanes(all, gap = 0) {
  const ends = [];
  for (const bar of [...all].sort((a, b) => a.from - b.from)) {
    let lane = ends.findIndex((end) => end <= bar.from);
    if (lane < 0) lane = ends.length;
    ends[lane] = bar.to + gap;
    bar.lane = lane;
  }
  return ends.length;
}

/** The time that the timeline shows: from the first begin to the last end, never empty. */
export function range(all, began, end) {
  const from = all.reduce((least, bar) => Math.min(least, bar.from), began ?? Infinity);
  const to = all.reduce((most, bar) => Math.max(most, bar.to), end ?? -Infinity);
  if (!Number.isFinite(from)) return { from: 0, to: 1 };
  return { from, to: Math.max(to, from + 1) };
}

/** The shortest round time that is in `length` at most `most` times. */
export function roundStep(length, most) {
  return STEPS.find((each) => length / each <= most) ?? Math.ceil(length / most / 8.64e7) * 8.64e7;
}

/** Round times for an axis, as offsets from its begin; at most `most` of them. */
export function ticks(length, most) {
  const step = roundStep(length, most);
  const found = [];
  for (let at = 0; at <= length; at += step) found.push(at);
  return found;
}

/**
 * Which rows of a long table to draw, and how much room those before and after them take.
 *
 * `opened` are the numbers of the rows that are unfolded, sorted; each takes `openHeight` more.
 */
export function visibleRows({ count, rowHeight, opened = [], openHeight = 0, top, height, more = 8 }) {
  const offset = (row) => row * rowHeight + opened.filter((each) => each < row).length * openHeight;
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (offset(middle + 1) <= top) low = middle + 1;
    else high = middle;
  }
  let end = low;
  while (end < count && offset(end) < top + height) end += 1;
  const first = Math.max(0, low - more);
  const last = Math.min(count, end + more);
  return { first, last, before: offset(first), after: offset(count) - offset(last) };
}
