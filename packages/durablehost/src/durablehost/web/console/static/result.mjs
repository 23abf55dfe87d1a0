// The result of a run over chunks: a chart of each series, and its chunks and series as tables.

import { html, useEffect, useMemo, useState } from "./vendor/htm-preact.mjs";
import { get } from "./api.mjs";
import { BandChart } from "./chart.mjs";
import { columnsOf, described, figure, isGrouped, pointsOf, rowsOf, seriesOf } from "./output.mjs";
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

/** `run` is the output of the instance, which has ended. */
export function Result({ id, run, onProblem }) {
  const { results, left, problem } = useResults(id, run, onProblem);
  const names = useMemo(() => seriesOf(run), [run]);
  const [chosen, setChosen] = useState(names[0] ?? "");
  const [table, setTable] = useState("chunks");
  const name = names.includes(chosen) ? chosen : names[0] ?? "";
  const points = useMemo(() => (results ? pointsOf(run, results) : []), [run, results]);
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
    </div>`}
    ${problem && html`<p class="problem" role="alert">The results of the chunks cannot be read: ${problem}</p>`}
    ${columns[1].some((value) => value !== null) && html`<${BandChart} columns=${columns} label=${described(points, name)} />`}
    ${run.stored?.location && html`<p class="soft">The results are stored in <code>${run.stored.location}</code> (${count(run.stored.files)} files).</p>`}
    ${rows.length < run.total_chunks && html`<p class="soft">The output lists ${count(rows.length)} of ${count(run.total_chunks)} chunks: with stored results, only those that failed.</p>`}
    ${(run.warnings ?? []).map((warning, index) => html`<p key=${index} class="note">${warning}</p>`)}
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
    <td class="number">${count(summary.count)}</td>
    <td class="number">${figure(summary.mean)}</td>
    <td class="number">${figure(summary.std)}</td>
    <td class="number">${figure(summary.min)}</td>
    <td class="number">${figure(summary.max)}</td>`;
}

/** The texts that the tasks of the run have returned; null until they are loaded. */
function useResults(id, run, onProblem) {
  const [state, setState] = useState({ results: null, left: 0, problem: null });
  useEffect(() => {
    const control = new AbortController();
    get(`instances/${encodeURIComponent(id)}/results`, control.signal)
      .then(({ results, left }) => setState({ results, left, problem: null }))
      .catch((error) => {
        if (control.signal.aborted) return;
        if (error.needsKey) onProblem(error);
        else setState({ results: null, left: 0, problem: error.message });
      });
    return () => control.abort();
  }, [id, run]);
  return state;
}
