// The log lines of an instance: which to show, and in which words. Pure.

// Of the lines that this page has seen; the host keeps fewer.
const MOST_LINES = 20_000;
// In characters of their texts: a line may have 8,000.
const MOST_TEXT = 8_000_000;
const NAMES = [[50, "critical"], [40, "error"], [30, "warning"], [20, "info"], [0, "debug"]];

/** The least level by the name of a filter. */
export const LEAST = { all: 0, warnings: 30, errors: 40 };

export const NO_LINES = { lines: [], logged: 0, isKept: true, isLoading: true };

/** The number of the last line; 0 if there is none. */
export function lastNumber({ lines }) {
  return lines.at(-1)?.number ?? 0;
}

/** What is known after another answer of the host, which has the lines after the last one. */
export function withAnswer(known, { lines, logged, isKept }) {
  const all = lines.length ? latest([...known.lines, ...lines]) : known.lines;
  return { lines: all, logged, isKept, isLoading: false };
}

/** The last lines for which there is room, as many as possible. */
function latest(lines) {
  const least = Math.max(0, lines.length - MOST_LINES);
  let first = lines.length;
  for (let room = MOST_TEXT; first > least; first -= 1) {
    room -= lines[first - 1].text.text.length;
    if (room < 0) break;
  }
  return lines.slice(first);
}

/** How many lines were logged that this page cannot show. */
export function missing({ lines, logged }) {
  return Math.max(0, logged - lines.length);
}

/** The lines of one level or above, of one task; `task` null: of all. */
export function shownLines(lines, least, task) {
  return lines.filter((line) => line.level >= least && (task === null || line.task === task));
}

export function levelName(level) {
  return NAMES.find(([least]) => level >= least)[1];
}

/** The first line of a text that says something. */
export function firstLine(text) {
  return text.trimStart().split("\n", 1)[0];
}
