// The ancestors and the sub-orchestrations of an instance as a tree. A history is read when its row is unfolded.

import { html, useEffect, useMemo, useRef, useState } from "./vendor/htm-preact.mjs";
import { get } from "./api.mjs";
import { readOnChange } from "./reader.mjs";
import { ancestorsOf, branchOf, childrenIn, keyed, nextToOpen, stateOf, treeRows } from "./tree.mjs";
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
// As many as the host gives at once; fewer rows are in sight.
const MOST_ASKED = 50;
const MISSING = "There is no instance with this id: it has not begun yet, or it was purged.";

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
  const [sight, setSight] = useState({ first: 0, last: 0 });
  const missing = useRowsInSight({ rows, sight, store, opened, onProblem });
  // The row that the keys are in, by its key, and the one to give the focus.
  const [active, setActive] = useState("current");
  const [focus, setFocus] = useState(null);
  const now = useNow(clock, !isFinished(instance.status) || rows.some(isOpen));
  if (!parentId && !children.length) return null;
  const read = new Set(rows.filter((row) => row.isRead).map((row) => row.id));
  const keep = (branch, history) => setHistories((before) => new Map(before).set(branch, history));
  const stateOfRow = (number) => shown(rows[number], { instance, store, missing, now });
  const fold = (row) => setFolds((before) => new Map(before).set(row.key, !row.isUnfolded));
  const press = (event, number) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
    const row = rows[number];
    // In a row, not on a link or a button of it.
    if (event.key === "Enter" && event.target === event.currentTarget && row.id) location.hash = link(row.id);
    const done = keyed(rows, number, event.key);
    if (!done) return;
    event.preventDefault();
    if (done.fold) fold(done.fold);
    else setFocus({ row: done.row });
  };
  const activeNumber = rows.findIndex((row) => row.key === active);
  const tabStop = activeNumber >= sight.first && activeNumber < sight.last ? activeNumber : sight.first;
  return html`<section><h2>Sub-orchestrations</h2>
    ${[...read].map((each) => html`<${Branch} key=${each} id=${each} store=${store} opened=${opened} onRead=${keep} onProblem=${onProblem} />`)}
    <${LongTable} label="Sub-orchestrations" kind="instances tree" role="treegrid" columns=${COLUMNS} count=${rows.length} keyOf=${(number) => rows[number].key}
      focus=${focus} onSight=${setSight}
      row=${(number) => cells(rows[number], stateOfRow(number), fold)}
      rowClass=${(number) => `${rows[number].kind} ${stateOfRow(number)?.status === "Failed" ? "failed" : ""}`}
      rowAttributes=${(number) => ({
        "aria-level": rows[number].level,
        "aria-expanded": rows[number].canUnfold ? rows[number].isUnfolded : undefined,
        tabindex: number === tabStop ? 0 : -1,
        onFocus: () => setActive(rows[number].key),
        onKeyDown: (event) => press(event, number),
      })} />
  </section>`;
}

/** Reads the children of an unfolded row, and again after each change. Draws nothing. */
function Branch({ id, store, opened, onRead, onProblem }) {
  useEffect(() => {
    const read = async (signal) => {
      const { entries, problem, isMissing } = await get(`instances/${encodeURIComponent(id)}/history`, signal);
      onRead(id, branchOf(entries, isMissing ? MISSING : problem && `The history cannot be read: ${problem}`));
    };
    return readOnChange(id, store, read, onProblem);
  }, [id, opened]);
  return null;
}

/**
 * Asks for the present rows of sub-orchestrations in sight that have not ended, once each: their changes come by themselves.
 * Returns the ids of those that do not exist.
 */
function useRowsInSight({ rows, sight, store, opened, onProblem }) {
  const [missing, setMissing] = useState(new Set());
  const asked = useRef({ opened: 0, ids: new Set() });
  useEffect(() => {
    if (asked.current.opened !== opened) asked.current = { opened, ids: new Set() };
    const { ids } = asked.current;
    const isWanted = ({ kind, id, entry }) => kind === "child" && !entry.ended && !ids.has(id);
    const wanted = [...new Set(rows.slice(sight.first, sight.last).filter(isWanted).map((row) => row.id))].slice(0, MOST_ASKED);
    if (!wanted.length) return;
    wanted.forEach((id) => ids.add(id));
    readRows(wanted)
      .then((found) => {
        const known = new Set(found.map((row) => row.id));
        setMissing((before) => new Set([...before, ...wanted].filter((id) => !known.has(id))));
        store.merge(found);
      })
      .catch((error) => {
        wanted.forEach((id) => ids.delete(id));
        onProblem(error);
      });
  }, [rows, sight, opened]);
  return missing;
}

/** The rows of the instances that exist. */
async function readRows(ids, signal) {
  return (await get(`rows?${new URLSearchParams(ids.map((id) => ["id", id]))}`, signal)).rows;
}

function useAncestors({ id, parentId, opened, onProblem }) {
  const [ancestors, setAncestors] = useState([]);
  useEffect(() => {
    const control = new AbortController();
    const read = async (each) => (await readRows([each], control.signal))[0] ?? null;
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
function shown({ kind, id, row, entry }, { instance, store, missing, now }) {
  if (kind === "note") return null;
  if (kind === "child") return { name: entry.name, ...stateOf(entry, store.rows.get(id), now, missing.has(id)) };
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
