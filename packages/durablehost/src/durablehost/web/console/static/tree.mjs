// The tree of sub-orchestrations around an instance, as rows. Pure: values in, rows out. Times are milliseconds.

import { isFinished, timeOf } from "./words.mjs";

// Each is a request, for which nobody has clicked.
const MOST_ANCESTORS = 20;
const MOST_OPENED = 10;
// Fewer of those that have not ended, so that something is left for one that fails later.
const MOST_RUNNING = 5;

/** The entries of a history that are sub-orchestrations. */
export function childrenIn(entries) {
  return entries.filter((entry) => entry.kind === "sub-orchestration");
}

/** What the tree keeps of a history; `note`: why there is none. */
export function branchOf(entries, note = null) {
  return { children: childrenIn(entries), hasEnded: entries.some((entry) => entry.kind === "ended"), note };
}

/**
 * The ancestors of an instance, the root first, as `{ id, row, isGone }`. `read` gives the row of an id, null if there is none.
 *
 * Ends at an instance that is gone, before a cycle, and at an ancestor that is too far away to be read: its row is null.
 */
export async function ancestorsOf(id, parentId, read) {
  const found = [];
  const seen = new Set([id]);
  let next = parentId;
  while (next && !seen.has(next)) {
    seen.add(next);
    const isFar = found.length === MOST_ANCESTORS;
    const row = isFar ? null : await read(next);
    found.unshift({ id: next, row, isGone: !isFar && row === null });
    next = row?.parentId;
  }
  return found;
}

/**
 * The rows: the ancestors, the instance, its `children`, and what is below those that are unfolded.
 *
 * `histories` has what `branchOf` gives, by instance id, as far as histories were read. `folds` has what the reader has chosen by
 * the key of a row, true for unfolded; `opened` has the keys that the page has chosen, of which those without children stay
 * folded. `isRead` rows need their history, and its changes.
 */
export function treeRows({ ancestors, id, children, histories, folds, opened }) {
  const rows = ancestors.map((ancestor, index) => ({ ...ancestor, kind: "ancestor", key: `above ${ancestor.id}`, level: index + 1 }));
  rows.push({ kind: "current", key: "current", id, level: rows.length + 1 });
  const add = (entries, level, above) => {
    const last = new Map(entries.map((entry, index) => [entry.instanceId, index]));
    entries.forEach((entry, index) => {
      const key = `${above}/${entry.task} ${entry.instanceId}`;
      const history = histories.get(entry.instanceId);
      // An attempt with the id of an earlier one has replaced its history.
      const fold = last.get(entry.instanceId) === index ? foldOf(history, folds.get(key), opened.has(key)) : {};
      rows.push({ kind: "child", key, id: entry.instanceId, level, entry, ...fold });
      if (!fold.isUnfolded) return;
      const note = history ? history.note ?? (history.children.length ? null : "No sub-orchestrations of its own.") : "Loading …";
      if (note) rows.push({ kind: "note", key: `${key} note`, level: level + 1, note });
      if (history) add(history.children, level + 1, key);
    });
  };
  add(children, rows.length + 1, "");
  return rows;
}

function foldOf(history, choice, isOpened) {
  const hasMore = Boolean(history?.children.length);
  return {
    canUnfold: hasMore || !history?.hasEnded || choice !== undefined,
    isUnfolded: choice ?? (isOpened && hasMore),
    isRead: choice ?? (isOpened && (!history || hasMore)),
  };
}

/**
 * The key of the row to unfold without a click, one at a time: failed ones first, then those that have not ended. Null if there
 * is none, or one is still being read, or the page has opened enough of them.
 */
export function nextToOpen(rows, opened, histories) {
  if (opened.size >= MOST_OPENED || rows.some((row) => row.isRead && !histories.has(row.id))) return null;
  const unread = rows.filter((row) => row.canUnfold && !opened.has(row.key) && !histories.has(row.id));
  const failed = unread.find((row) => row.entry.failed);
  const running = opened.size < MOST_RUNNING ? unread.find((row) => !row.entry.ended) : undefined;
  return (failed ?? running)?.key ?? null;
}

/**
 * What a key does in row `number`, as in every tree: `{ row }`, the number of the row to go to, `{ fold }`, the row to fold
 * or unfold, or null. Notes are passed over: that of a history that is being read goes away.
 */
export function keyed(rows, number, key) {
  const row = rows[number];
  const to = (target) => (target >= 0 && target !== number ? { row: target } : null);
  const next = rows.findIndex(({ kind }, index) => index > number && kind !== "note");
  switch (key) {
    case "ArrowDown": return to(next);
    case "ArrowUp": return to(rows.findLastIndex(({ kind }, index) => index < number && kind !== "note"));
    case "Home": return to(0);
    case "End": return to(rows.findLastIndex(({ kind }) => kind !== "note"));
    case "ArrowRight":
      if (row.canUnfold && !row.isUnfolded) return { fold: row };
      return rows[next]?.level > row.level ? to(next) : null;
    case "ArrowLeft":
      return row.canUnfold && row.isUnfolded ? { fold: row } : to(rows.findLastIndex(({ level }, index) => index < number && level < row.level));
    default: return null;
  }
}

/**
 * The status of a sub-orchestration, how long it has run, and its progress: from its entry, and the row of its id if that says
 * more. `isMissing`: there was no instance of this id.
 */
export function stateOf(entry, row, now, isMissing = false) {
  const live = isOf(entry, row) ? row : null;
  const end = timeOf(entry.ended) ?? (live && isFinished(live.status) ? timeOf(live.completed) ?? timeOf(live.updated) : now);
  return {
    status: live?.status ?? (entry.failed ? "Failed" : entry.ended ? "Completed" : isMissing ? "Pending" : "Running"),
    ran: end - timeOf(entry.at),
    progress: live?.progress ?? null,
  };
}

/** Whether a row is of this call, not of another one with the same id, and not older than the end of the entry. */
function isOf(entry, row) {
  if (!row) return false;
  const created = timeOf(row.created);
  const ended = timeOf(entry.ended) ?? Infinity;
  return created >= timeOf(entry.at) && created <= ended && (ended === Infinity || isFinished(row.status) || timeOf(row.updated) > ended);
}
