// The list of instances: filters, counts by status, and rows that change while one looks.

import { html, useEffect, useRef, useState } from "./vendor/htm-preact.mjs";
import { get } from "./api.mjs";
import { filterQuery, matches, writeFilter } from "./filter.mjs";
import { PurgeDialog } from "./purge.mjs";
import { Badge, LongTable, Progress, useNow, useStore } from "./ui.mjs";
import { STATUSES, ago, count, duration, isFinished, link, moment, runTime, timeOf } from "./words.mjs";

const TYPING_MS = 300;
// Counting reads up to 10,000 rows: after a count the page waits this long, and ten times as long as the count took.
const LEAST_COUNT_PAUSE_MS = 5000;

const COLUMNS = [
  { title: "Status", class: "status" },
  { title: "Name", class: "name" },
  { title: "Id", class: "id" },
  { title: "Created", class: "time" },
  { title: "Updated", class: "time wide" },
  { title: "Duration", class: "time short" },
  { title: "Progress", class: "rest", hint: "The custom status" },
];

export function List({ store, clock, hub, filter, opened, onFilter, onProblem }) {
  const now = useNow(clock);
  useStore(store, () => true);
  const { more, isLoading, load, whole } = useRows({ store, clock, filter, opened, onProblem });
  // A page that has every row counts them itself.
  const ofAnyStatus = { ...filter, status: [] };
  const isWhole = whole === writeFilter(ofAnyStatus);
  const counted = useCounts({ store, clock, filter, opened, isNeeded: !isLoading && !isWhole });
  const counts = isWhole ? countRows(store, ofAnyStatus, now) : counted;
  const rows = [...store.rows.values()]
    .filter((row) => matches(row, filter, now))
    .sort((a, b) => timeOf(b.created) - timeOf(a.created) || (a.id < b.id ? -1 : 1));
  const [isPurging, setIsPurging] = useState(false);
  return html`<main>
    <h1 class="hidden">Instances</h1>
    <${Counts} counts=${counts} filter=${filter} onFilter=${onFilter} />
    <${Filters} filter=${filter} hub=${hub} onFilter=${onFilter} />
    ${more && html`<p class="note">The storage lists instances by their id, and there are more than these: the newest may be
      missing. Filter by the time of creation, or <button type="button" onClick=${load}>load more</button></p>`}
    ${rows.length
      ? html`<${LongTable} label="Instances" columns=${COLUMNS} count=${rows.length} keyOf=${(number) => rows[number].id}
          row=${(number) => cells(rows[number], now)} />`
      : html`<p class="empty">${isLoading ? "Loading …" : "No instance matches."}</p>`}
    <p class="soft" role="status">${count(rows.length)} ${rows.length === 1 ? "instance" : "instances"}, newest first</p>
    ${hub?.actions && rows.length > 0 && html`<button type="button" class="destructive" onClick=${() => setIsPurging(true)}>Purge all that match …</button>`}
    ${isPurging && html`<${PurgeDialog} filter=${filter} store=${store} clock=${clock} onClose=${() => setIsPurging(false)} />`}
  </main>`;
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
  // The filter, without a status, of which this page has every row.
  const [whole, setWhole] = useState(null);
  const query = writeFilter(filter);
  const isFirst = useRef(true);
  const control = useRef(null);
  const read = async (token) => {
    control.current?.abort();
    control.current = new AbortController();
    setState({ token, isLoading: true });
    try {
      const following = token ? `&continuation=${encodeURIComponent(token)}` : "";
      const answer = await get(`instances?${filterQuery(filter, clock.now())}${following}`, control.current.signal);
      if (!token && !answer.continuation) forgetOthers(store, answer.instances, filter, clock.now());
      store.merge(answer.instances);
      setState({ token: answer.continuation, isLoading: false });
      if (!filter.status.length) setWhole(answer.continuation ? null : query);
    } catch (error) {
      if (error.name === "AbortError") return;
      setState({ token: null, isLoading: false });
      onProblem(error);
    }
  };
  useEffect(() => {
    const timer = setTimeout(() => read(null), isFirst.current ? 0 : TYPING_MS);
    isFirst.current = false;
    return () => {
      clearTimeout(timer);
      control.current?.abort();
    };
  }, [query, opened]);
  return { more: state.token !== null && !state.isLoading, isLoading: state.isLoading, load: () => read(state.token), whole };
}

/** Rows that match and are not in the whole answer have been purged. */
function forgetOthers(store, rows, filter, now) {
  const ids = new Set(rows.map((row) => row.id));
  const gone = [...store.rows.values()].filter((row) => matches(row, filter, now) && !ids.has(row.id));
  store.remove(gone.map((row) => row.id));
}

/** The counts by status for the filter without its status; counted again after changes, but not often. */
function useCounts({ store, clock, filter, opened, isNeeded }) {
  const [counts, setCounts] = useState(null);
  const isFirst = useRef(true);
  const query = filterQuery(filter, 0, false);
  useEffect(() => {
    if (!isNeeded) return undefined;
    const control = new AbortController();
    let timer = null;
    let isDue = false;
    let isResting = true;
    const read = async () => {
      isDue = false;
      isResting = true;
      const began = Date.now();
      try {
        setCounts(await get(`counts?${filterQuery(filter, clock.now(), false)}`, control.signal));
      } catch {
        if (control.signal.aborted) return; // else the stream of changes shows the problem
      }
      timer = setTimeout(() => {
        isResting = false;
        if (isDue) void read();
      }, Math.max(LEAST_COUNT_PAUSE_MS, 10 * (Date.now() - began)));
    };
    timer = setTimeout(read, isFirst.current ? 0 : TYPING_MS);
    isFirst.current = false;
    const ignore = store.listen((ids, isLive) => {
      if (!isLive) return;
      isDue = true;
      if (!isResting) void read();
    });
    return () => {
      ignore();
      clearTimeout(timer);
      control.abort();
    };
  }, [query, opened, isNeeded]);
  return counts;
}

function countRows(store, filter, now) {
  const counts = {};
  for (const row of store.rows.values()) if (matches(row, filter, now)) counts[row.status] = (counts[row.status] ?? 0) + 1;
  return { counts, isComplete: true };
}

function Counts({ counts, filter, onFilter }) {
  const toggle = (status) => {
    const has = filter.status.includes(status);
    onFilter({ ...filter, status: has ? filter.status.filter((each) => each !== status) : [...filter.status, status] });
  };
  const shown = STATUSES.filter((status) => counts?.counts[status] || filter.status.includes(status) || COMMON.has(status));
  return html`<div class="counts" role="group" aria-label="Filter by status">
    ${shown.map((status) => html`<button key=${status} type="button" class=${`count ${status}`}
        aria-pressed=${filter.status.includes(status)} onClick=${() => toggle(status)}>
      <b>${counts ? count(counts.counts[status] ?? 0) : "…"}${counts && !counts.isComplete ? "+" : ""}</b> ${status}
    </button>`)}
  </div>`;
}

const COMMON = new Set(["Pending", "Running", "Completed", "Failed"]);

function Filters({ filter, hub, onFilter }) {
  const set = (name) => (event) => onFilter({ ...filter, [name]: event.target.value });
  const isActive = writeFilter(filter) !== "";
  return html`<form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>
    <label>Name <input list="names" value=${filter.name} onInput=${set("name")} placeholder="any" autocomplete="off" /></label>
    <datalist id="names">${(hub?.orchestrators ?? []).map((name) => html`<option key=${name} value=${name} />`)}</datalist>
    <label>Id begins with <input value=${filter.prefix} onInput=${set("prefix")} placeholder="any" autocomplete="off" /></label>
    <label>Created <select value=${filter.created} onChange=${set("created")}>
      <option value="">at any time</option>
      <option value="hour">in the last hour</option>
      <option value="day">in the last 24 hours</option>
      <option value="week">in the last 7 days</option>
      <option value="range">between …</option>
    </select></label>
    ${filter.created === "range" && html`
      <label>From <input type="datetime-local" value=${filter.from} onChange=${set("from")} /></label>
      <label>To <input type="datetime-local" value=${filter.to} onChange=${set("to")} /></label>`}
    ${isActive && html`<button type="button" onClick=${() => onFilter(null)}>Clear</button>`}
  </form>`;
}
