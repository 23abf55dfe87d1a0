// The result of a run over chunks: a chart of each series, and its chunks and series as tables.

import { html, useEffect, useMemo, useRef, useState } from "./vendor/htm-preact.mjs";
import { get } from "./api.mjs";
import { BandChart } from "./chart.mjs";
import { columnsOf, described, figure, isGrouped, pointsIn, rowsOf, seriesOf, withGaps } from "./output.mjs";
import { Badge, LongTable } from "./ui.mjs";
import { count } from "./words.mjs";

const CHUNK_COLUMNS = [
  { title: "Chunk", class: "number" },
  { title: "Status", class: "status" },
  { title: "Window (UTC)", class: "window" },
  { title: "Records", class: "number" },
  { title: "Seconds", class: "number", hint: "How long the activity took to process the chunk" },
];
// Of the chosen series; of chunks in groups they are not known.
const STATISTICS_COLUMNS = ["Mean", "Minimum", "Maximum"].map((title) => ({ title, class: "number" }));
const FAILED_COLUMNS = [{ title: "Chunk", class: "number" }, { title: "Window (UTC)", class: "window" }, { title: "Error", class: "what" }];
const SERIES_COLUMNS = [
  { title: "Series", class: "what" },
  { title: "Values", class: "number" },
  { title: "Mean", class: "number" },
  { title: "Deviation", class: "number", hint: "The standard deviation of the sample" },
  { title: "Minimum", class: "number" },
  { title: "Maximum", class: "number" },
];

// A group has up to 100 chunks, whose results may be half a megabyte.
const MOST_GROUPS = 50;

/** `run` is the output of the instance, which has ended; `groups` are the ids of its sub-orchestrations. */
export function Result({ id, run, groups, onProblem }) {
  const { found, left, problem, hasAll, loaded, loadGroups } = usePoints(id, run, groups, onProblem);
  const names = useMemo(() => seriesOf(run), [run]);
  const [chosen, setChosen] = useState(names[0] ?? "");
  const [table, setTable] = useState("chunks");
  const name = names.includes(chosen) ? chosen : names[0] ?? "";
  const points = useMemo(() => (found.length ? withGaps(run, found) : []), [run, found]);
  const columns = useMemo(() => columnsOf(points, name), [points, name]);
  const rows = useMemo(() => rowsOf(run, points, name), [run, points, name]);
  const failed = useMemo(() => rows.filter((row) => row.isFailed), [rows]);
  const shown = table === "failed" ? failed : rows;
  const hasStatistics = !isGrouped(points);
  const chunkColumns = table === "failed" ? FAILED_COLUMNS : [...CHUNK_COLUMNS, ...(hasStatistics ? STATISTICS_COLUMNS : [])];
  const tabs = [["chunks", `Chunks ${count(rows.length)}`], ["failed", `Failed chunks ${count(failed.length)}`], ["series", `Series ${count(names.length)}`]];
  return html`<section class="result"><h2>Result</h2>
    ${names.length > 0 && html`<div class="series">
      <label>Series <select value=${name} onChange=${(event) => setChosen(event.target.value)}>
        ${names.map((each) => html`<option key=${each} value=${each}>${each}</option>`)}</select></label>
      <span class="soft">${caption(points, left)}</span>
      ${isGrouped(points) && !hasAll && groups.length <= MOST_GROUPS && html`<button type="button" onClick=${loadGroups} disabled=${loaded !== null}>
        ${loaded === null ? "Show each chunk" : `Loading: ${loaded} of ${groups.length} groups`}</button>`}
    </div>`}
    ${problem && html`<p class="problem" role="alert">The results of the chunks cannot be read: ${problem}</p>`}
    ${columns[1].some((value) => value !== null) && html`<${BandChart} columns=${columns} label=${described(points, name)} />`}
    ${run.stored?.location && html`<p class="soft">The results are stored in <code>${String(run.stored.location)}</code>.</p>`}
    ${rows.length < run.total_chunks && html`<p class="soft">The output lists ${count(rows.length)} of ${count(run.total_chunks)} chunks: with stored results, only those that failed.</p>`}
    ${(run.warnings ?? []).map((warning, index) => html`<p key=${index} class="note">${String(warning)}</p>`)}
    <div class="tabs" role="group" aria-label="Show of the result">
      ${tabs.map(([key, title]) => html`<button key=${key} type="button" aria-pressed=${table === key} onClick=${() => setTable(key)}>${title}</button>`)}
    </div>
    ${table === "series"
      ? html`<${LongTable} key="series" label="Series" columns=${SERIES_COLUMNS} count=${names.length} keyOf=${(number) => names[number]}
          row=${(number) => seriesCells(names[number], run.summary[names[number]])} />`
      : shown.length > 0
        ? html`<${LongTable} key=${table} label="Chunks" columns=${chunkColumns} count=${shown.length} keyOf=${(number) => shown[number].id}
            row=${(number) => (table === "failed" ? failedCells(shown[number]) : chunkCells(shown[number], hasStatistics))}
            rowClass=${(number) => (shown[number].isFailed ? "failed" : "")} />`
        : html`<p class="soft">${table === "failed" ? "No chunk has failed." : "The output lists no chunk."}</p>`}
  </section>`;
}

function caption(points, left) {
  if (!points.length) return "";
  const unit = isGrouped(points) ? "group of chunks" : "chunk";
  const rest = left ? ` ${count(left)} results are too large to be loaded.` : "";
  return `The mean of each ${unit}, in a band from its minimum to its maximum.${rest}`;
}

function chunkCells(row, hasStatistics) {
  return html`
    <td class="number">${row.id}</td>
    <td class="status" title=${row.error}><${Badge} status=${row.isFailed ? "Failed" : "Completed"} /></td>
    <td class="window">${row.window}</td>
    <td class="number">${row.records === null ? "" : count(row.records)}</td>
    <td class="number">${row.seconds === null ? "" : row.seconds.toFixed(3)}</td>
    ${hasStatistics && ["mean", "min", "max"].map((member) => html`<td key=${member} class="number">${figure(row.statistics?.[member])}</td>`)}`;
}

function failedCells(row) {
  return html`
    <td class="number">${row.id}</td>
    <td class="window">${row.window}</td>
    <td class="what" title=${row.error}>${row.error}</td>`;
}

function seriesCells(name, summary) {
  return html`
    <td class="what" title=${name}>${name}</td>
    <td class="number">${count(summary.count ?? 0)}</td>
    <td class="number">${figure(summary.mean)}</td>
    <td class="number">${figure(summary.std)}</td>
    <td class="number">${figure(summary.min)}</td>
    <td class="number">${figure(summary.max)}</td>`;
}

/**
 * The points in the results of the run's tasks; on request, those in the results of its groups in their place.
 *
 * `left` counts the results that are too large; `loaded` the groups, null before the request.
 */
function usePoints(id, run, groups, onProblem) {
  const [state, setState] = useState({ found: [], left: 0, problem: null, hasAll: false });
  const [loaded, setLoaded] = useState(null);
  const control = useRef(null);
  const read = async (ids) => {
    control.current?.abort();
    control.current = new AbortController();
    const { signal } = control.current;
    try {
      const found = [];
      let left = 0;
      for (const each of ids) {
        const answer = await get(`instances/${encodeURIComponent(each)}/results`, signal);
        found.push(...pointsIn(answer.results));
        left += answer.left;
        if (ids === groups) setLoaded((before) => before + 1);
      }
      setState({ found, left, problem: null, hasAll: ids === groups });
    } catch (error) {
      if (signal.aborted) return;
      if (error.needsKey) onProblem(error);
      else setState((before) => ({ ...before, problem: error.message }));
    }
    setLoaded(null);
  };
  useEffect(() => {
    void read([id]);
    return () => control.current.abort();
  }, [id, run]);
  const loadGroups = () => {
    setLoaded(0);
    void read(groups);
  };
  return { ...state, loaded, loadGroups };
}
