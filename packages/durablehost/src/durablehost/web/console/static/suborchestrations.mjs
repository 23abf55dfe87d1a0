// The ancestors and the sub-orchestrations of an instance as a tree. A history is read when its row is unfolded.

import { html, useEffect, useMemo, useState } from "./vendor/htm-preact.mjs";
import { get } from "./api.mjs";
import { readOnChange } from "./reader.mjs";
import { ancestorsOf, branchOf, childrenIn, nextToOpen, stateOf, treeRows } from "./tree.mjs";
import { Badge, LongTable, Progress, useNow, useStore } from "./ui.mjs";
import { duration, isFinished, link, runTime, timeOf } from "./words.mjs";

const COLUMNS = [
  { title: "What", class: "what" },
  { title: "Status", class: "status" },
  { title: "Ran", class: "time short", hint: "From its request to its result, with waiting" },
  { title: "Progress", class: "rest" },
];
// Deeper rows are not indented further: they would leave no room for names.
const MOST_INDENTS = 8;

/** `instance`: its row; `entries`: its history. Nothing for an instance without parent and sub-orchestrations. */
export function SubOrchestrations({ instance, entries, store, clock, opened, onProblem }) {
  const { id, parentId } = instance;
  const children = useMemo(() => childrenIn(entries), [entries]);
  const ancestors = useAncestors({ id, parentId, opened, onProblem });
  const [histories, setHistories] = useState(new Map());
  const [folds, setFolds] = useState(new Map());
  const [openedKeys, setOpenedKeys] = useState(new Set());
  const rows = useMemo(
    () => treeRows({ ancestors, id, children, histories, folds, opened: openedKeys }),
    [ancestors, id, children, histories, folds, openedKeys],
  );
  const ids = useMemo(() => new Set(rows.map((row) => row.id)), [rows]);
  useStore(store, (changed) => [...changed].some((each) => ids.has(each)));
  const next = nextToOpen(rows, openedKeys, histories);
  useEffect(() => {
    if (next !== null) setOpenedKeys((before) => new Set([...before, next]));
  }, [next]);
  const now = useNow(clock, !isFinished(instance.status) || rows.some(isOpen));
  if (!parentId && !children.length) return null;
  const read = new Set(rows.filter((row) => row.isRead).map((row) => row.id));
  const keep = (branch, history) => setHistories((before) => new Map(before).set(branch, history));
  const stateOfRow = (number) => shown(rows[number], { instance, store, now });
  const fold = (row) => setFolds((before) => new Map(before).set(row.key, !row.isUnfolded));
  return html`<section><h2>Sub-orchestrations</h2>
    ${[...read].map((each) => html`<${Branch} key=${each} id=${each} store=${store} opened=${opened} onRead=${keep} onProblem=${onProblem} />`)}
    <${LongTable} label="Sub-orchestrations" kind="instances tree" role="treegrid" columns=${COLUMNS} count=${rows.length} keyOf=${(number) => rows[number].key}
      row=${(number) => cells(rows[number], stateOfRow(number), fold)}
      rowClass=${(number) => `${rows[number].kind} ${stateOfRow(number)?.status === "Failed" ? "failed" : ""}`}
      rowAttributes=${(number) => ({ "aria-level": rows[number].level, "aria-expanded": rows[number].canUnfold ? rows[number].isUnfolded : undefined })} />
  </section>`;
}

/** Reads the children of an unfolded row, and again after each change. Draws nothing. */
function Branch({ id, store, opened, onRead, onProblem }) {
  useEffect(() => {
    const read = async (signal) => {
      try {
        const { entries, problem } = await get(`instances/${encodeURIComponent(id)}/history`, signal);
        onRead(id, branchOf(entries, problem && `The history cannot be read: ${problem}`));
      } catch (error) {
        if (error.status !== 404) throw error;
        onRead(id, branchOf([], "There is no instance with this id: it has not begun yet, or it was purged."));
      }
    };
    return readOnChange(id, store, read, onProblem);
  }, [id, opened]);
  return null;
}

function useAncestors({ id, parentId, opened, onProblem }) {
  const [ancestors, setAncestors] = useState([]);
  useEffect(() => {
    const control = new AbortController();
    const read = async (each) => {
      try {
        return await get(`instances/${encodeURIComponent(each)}`, control.signal);
      } catch (error) {
        if (error.status !== 404) throw error;
        return null;
      }
    };
    ancestorsOf(id, parentId, read)
      .then(setAncestors)
      .catch((error) => control.signal.aborted || onProblem(error));
    return () => control.abort();
  }, [id, parentId, opened]);
  return ancestors;
}

function isOpen({ kind, row, entry }) {
  return kind === "child" ? !entry.ended : kind === "ancestor" && row !== null && !isFinished(row.status);
}

/** What the other columns show of a row; null: nothing is known. */
function shown({ kind, id, row, entry }, { instance, store, now }) {
  if (kind === "note") return null;
  if (kind === "child") return { name: entry.name, ...stateOf(entry, store.rows.get(id), now) };
  const live = store.rows.get(id);
  const known = kind === "current" ? instance : row && live && timeOf(live.updated) > timeOf(row.updated) ? live : row;
  return known ? { ...known, ran: runTime(known, now) } : null;
}

function cells(row, state, fold) {
  const indent = { paddingLeft: `${0.6 + 1.1 * Math.min(row.level - 1, MOST_INDENTS)}rem` };
  if (row.kind === "note") return html`<td class="what" style=${indent} colspan=${COLUMNS.length}><span class="leaf soft">${row.note}</span></td>`;
  const words = [state?.name, row.entry && `(task ${row.entry.task})`].filter(Boolean).join(" ");
  return html`
    <td class="what" style=${indent}>
      ${row.canUnfold && html`<button type="button" class="fold" aria-label=${`Sub-orchestrations of ${words}`} aria-expanded=${row.isUnfolded} onClick=${() => fold(row)}></button>`}
      ${row.kind === "current"
        ? html`<b aria-current="page" title=${row.id}>${words}</b> <span class="soft">${row.id}</span>`
        : html`<a class=${row.kind === "child" && !row.canUnfold ? "leaf" : ""} href=${link(row.id)} title=${row.id}>${words} <span class="soft">${row.id}</span></a>`}
    </td>
    <td class="status">${state ? html`<${Badge} status=${state.status} />` : row.isGone && html`<span class="soft">purged</span>`}</td>
    <td class="time short">${state && state.ran !== null && duration(state.ran)}</td>
    <td class="rest">${state?.progress && html`<${Progress} progress=${state.progress} />`}</td>`;
}
