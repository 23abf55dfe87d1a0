// The list of instances: rows that change while one looks, counts by status, and the plot above them.

import { html, useEffect, useMemo, useRef, useState } from "./vendor/htm-preact.mjs";
import { get } from "./api.mjs";
import { conditions, createdRange, filterQuery, matches, writeFilter } from "./filter.mjs";
import { Counts, Filters } from "./filters.mjs";
import { Plot } from "./plot.mjs";
import { PurgeDialog } from "./purge.mjs";
import { Reader } from "./reader.mjs";
import { nextSort, readSort, sortRows } from "./sorting.mjs";
import { Badge, LongTable, Progress, useNow, useStore } from "./ui.mjs";
import { ago, count, duration, isFinished, link, moment, runTime, timeOf } from "./words.mjs";

const TYPING_MS = 300;
// Counting reads up to 10,000 rows.
const COUNT_PAUSE = { leastPause: 5000, perRead: 10 };
// How often rows leave a filter for a time before now, or change places in an order by duration.
const TIME_STEP_MS = 5000;
// One instance has no course of time.
const LEAST_PLOTTED = 2;

const COLUMNS = [
  { title: "Status", class: "status", sort: "status" },
  { title: "Name", class: "name", sort: "name" },
  { title: "Id", class: "id", sort: "id" },
  { title: "Created", class: "time", sort: "created" },
  { title: "Updated", class: "time wide", sort: "updated" },
  { title: "Duration", class: "time short", sort: "duration" },
  { title: "Progress", class: "rest", hint: "The custom status" },
];

export function List({ store, clock, hub, filter, opened, onFilter, onProblem }) {
  const now = useNow(clock);
  const version = useStore(store, () => true);
  const { more, isLoading, hasFailed, load, whole } = useRows({ store, clock, filter, opened, onProblem });
  // A page that has every row counts them itself.
  const ofAnyStatus = { ...filter, status: [] };
  const isWhole = whole === conditions(ofAnyStatus);
  const counted = useCounts({ store, clock, filter, opened, isNeeded: !isLoading && !isWhole });
  // With 20,000 rows, this is too much work for every second.
  const reads = [version, writeFilter(filter), dependsOnTime(filter) && Math.floor(now / TIME_STEP_MS)];
  const own = useMemo(() => (isWhole ? countRows(store, ofAnyStatus, now) : null), [isWhole, ...reads]);
  const rows = useMemo(() => sortRows([...store.rows.values()].filter((row) => matches(row, filter, now)), filter.sort, now), reads);
  const counts = own ?? counted;
  // The filter that a purge began with. The dialog ends with it: what it shows and removes never belongs to another one.
  const [purged, setPurged] = useState(null);
  const isPurging = purged !== null && conditions(purged) === conditions(filter);
  useEffect(() => setPurged(null), [conditions(filter)]);
  return html`<main>
    <h1 class="hidden">Instances</h1>
    <${Counts} counts=${counts} filter=${filter} onFilter=${onFilter} />
    <${Created} counts=${counts} filter=${filter} now=${now} onFilter=${onFilter} />
    <${Filters} filter=${filter} hub=${hub} onFilter=${onFilter} />
    ${more && html`<p class="note">${filter.search.trim()
      ? "A part of the task hub has been searched, in the order of the ids. There may be more:"
      : "The storage lists instances by their id, and there are more than these: the newest may be missing. Filter by the time of creation, or"}
      ${" "}<button type="button" onClick=${load}>load more</button></p>`}
    ${rows.length
      ? html`<${LongTable} label="Instances" kind="instances" order=${writeFilter(filter)} columns=${sortable(filter, onFilter)} count=${rows.length} keyOf=${(number) => rows[number].id}
          row=${(number) => cells(rows[number], now)} />`
      : html`<p class="empty">${isLoading ? "Loading …" : hasFailed ? "The instances could not be read." : "No instance matches."}</p>`}
    <p class="soft" role="status">${count(rows.length)} ${rows.length === 1 ? "instance" : "instances"}, ${orderWords(filter.sort)}</p>
    ${hub?.actions && rows.length > 0 && html`<button type="button" class="destructive" onClick=${() => setPurged(filter)}>Purge all that match …</button>`}
    ${isPurging && html`<${PurgeDialog} filter=${purged} store=${store} clock=${clock} onClose=${() => setPurged(null)} />`}
  </main>`;
}

/** Whether the rows or their order become others although no instance changes. */
function dependsOnTime(filter) {
  return filter.updated !== "" || (filter.created !== "" && filter.created !== "range") || readSort(filter.sort).column === "duration";
}

/** The plot. While its counts are pending, the one of the filter before keeps its place: the filter below must not move. */
function Created({ counts, filter, now, onFilter }) {
  const latest = useRef(null);
  const times = useMemo(() => counts && Object.fromEntries(Object.entries(counts.created).filter(([status]) => !filter.status.length || filter.status.includes(status))), [counts, filter.status.join()]);
  if (times !== null) {
    const { from, to } = createdRange(filter, now);
    latest.current = { times, range: { from, to: to ?? (from === null ? null : now) } };
  }
  const shown = latest.current;
  if (shown === null || sumOf(shown.times) < LEAST_PLOTTED) return null;
  return html`<${Plot} created=${shown.times} range=${shown.range} now=${now} isPending=${times === null}
    onSelect=${(part) => onFilter({ ...filter, ...part })} />`;
}

function sumOf(times) {
  return Object.values(times).reduce((total, each) => total + each.length, 0);
}

function sortable(filter, onFilter) {
  const { column, isDescending } = readSort(filter.sort);
  return COLUMNS.map((each) => each.sort ? {
    ...each,
    order: each.sort === column ? (isDescending ? "descending" : "ascending") : undefined,
    head: html`<button type="button" class="head-button" onClick=${() => onFilter({ ...filter, sort: nextSort(filter.sort, each.sort) })}>
      ${each.title}${each.sort === column && html`<span aria-hidden="true"> ${isDescending ? "↓" : "↑"}</span>`}</button>`,
  } : each);
}

function orderWords(sort) {
  const { column, isDescending } = readSort(sort);
  if (column === "created") return isDescending ? "newest first" : "oldest first";
  return `by ${column}${isDescending ? ", descending" : ""}`;
}

function cells(row, now) {
  const time = runTime(row, now);
  const custom = row.customStatus?.text ?? "";
  return html`
    <td class="status"><${Badge} status=${row.status} /></td>
    <td class="name" title=${row.name}>${row.name}</td>
    <td class="id" title=${row.id}><a href=${link(row.id)}>${row.id}</a></td>
    <td class="time">${moment(timeOf(row.created), now)}</td>
    <td class="time wide">${isFinished(row.status) ? moment(timeOf(row.updated), now) : ago(timeOf(row.updated), now)}</td>
    <td class="time short">${time === null ? "" : duration(time)}</td>
    <td class="rest" title=${custom}>${row.progress ? html`<${Progress} progress=${row.progress} />` : custom}</td>`;
}

/** Loads the rows that match, at first, when the filter changes, and when the host is there again (`opened`). */
function useRows({ store, clock, filter, opened, onProblem }) {
  const [state, setState] = useState({ token: null, isLoading: true });
  // The conditions, without a status, of which this page has every row.
  const [whole, setWhole] = useState(null);
  const query = conditions(filter);
  const isFirst = useRef(true);
  const control = useRef(null);
  const read = async (token) => {
    control.current?.abort();
    control.current = new AbortController();
    setState({ token, isLoading: true });
    const before = new Map(store.rows);
    try {
      const following = token ? `&continuation=${encodeURIComponent(token)}` : "";
      const answer = await get(`instances?${filterQuery(filter, clock.now())}${following}`, control.current.signal);
      if (!token && !answer.continuation) forgetOthers(store, before, answer.instances, filter, clock.now());
      store.merge(answer.instances);
      setState({ token: answer.continuation, isLoading: false });
      if (!filter.status.length) setWhole(answer.continuation || store.hasDropped ? null : query);
    } catch (error) {
      if (error.name === "AbortError") return;
      setState({ token, isLoading: false, hasFailed: true });
      onProblem(error);
    }
  };
  // What has changed while this page was not connected, it reads of the chosen statuses alone.
  useEffect(() => {
    if (filter.status.length) setWhole(null);
  }, [opened]);
  useEffect(() => {
    const timer = setTimeout(() => read(null), isFirst.current ? 0 : TYPING_MS);
    isFirst.current = false;
    return () => {
      clearTimeout(timer);
      control.current?.abort();
    };
  }, [query, opened]);
  const { isLoading, hasFailed } = state;
  return { more: state.token !== null && !isLoading, isLoading, hasFailed, load: () => read(state.token), whole };
}

/** Rows that match and are not in the whole answer have been purged, unless they have changed since `before` the request. */
function forgetOthers(store, before, rows, filter, now) {
  const ids = new Set(rows.map((row) => row.id));
  const gone = [...store.rows.values()].filter((row) => before.get(row.id) === row && !ids.has(row.id) && matches(row, filter, now));
  store.remove(gone.map((row) => row.id));
}

/**
 * The counts by status for the filter without its status; counted again after changes, but not often. Null until those of
 * this filter are known.
 */
function useCounts({ store, clock, filter, opened, isNeeded }) {
  const [counted, setCounted] = useState(null);
  const isFirst = useRef(true);
  const query = filterQuery(filter, 0, false);
  useEffect(() => {
    if (!isNeeded) return undefined;
    const read = async (signal) => {
      const counts = await get(`counts?${filterQuery(filter, clock.now(), false)}`, signal);
      setCounted({ query, counts });
    };
    // The stream of changes shows a problem of the storage.
    const reader = new Reader(read, () => {}, COUNT_PAUSE);
    const timer = setTimeout(() => reader.ask(), isFirst.current ? 0 : TYPING_MS);
    isFirst.current = false;
    const ignore = store.listen((ids, isLive) => isLive && reader.ask());
    return () => {
      ignore();
      clearTimeout(timer);
      reader.end();
    };
  }, [query, opened, isNeeded]);
  return counted?.query === query ? counted.counts : null;
}

/** The answer of the host to a count, from the rows of this page. */
function countRows(store, filter, now) {
  const created = {};
  for (const row of store.rows.values()) if (matches(row, filter, now)) (created[row.status] ??= []).push(timeOf(row.created) ?? 0);
  const counts = Object.fromEntries(Object.entries(created).map(([status, times]) => [status, times.length]));
  return { counts, created, isComplete: true };
}
