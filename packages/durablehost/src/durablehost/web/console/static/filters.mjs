// What one can filter the list by: buttons with the counts by status, and a form.

import { html } from "./vendor/htm-preact.mjs";
import { EVERYTHING, PERIODS, conditions, isOfRecentFailures, withRecentFailures } from "./filter.mjs";
import { STATUSES, count } from "./words.mjs";

const COMMON = new Set(["Pending", "Running", "Completed", "Failed"]);

export function Counts({ counts, filter, onFilter }) {
  const toggle = (status) => {
    const has = filter.status.includes(status);
    onFilter({ ...filter, status: has ? filter.status.filter((each) => each !== status) : [...filter.status, status] });
  };
  const shown = STATUSES.filter((status) => counts?.counts[status] || filter.status.includes(status) || COMMON.has(status));
  const isRecent = isOfRecentFailures(filter);
  return html`<div class="counts" role="group" aria-label="Filter by status">
    ${shown.map((status) => html`<button key=${status} type="button" class=${`count ${status}`}
        aria-pressed=${filter.status.includes(status)} onClick=${() => toggle(status)}>
      <span class="swatch" aria-hidden="true"></span><b>${counts ? count(counts.counts[status] ?? 0) : "…"}${counts && !counts.isComplete ? "+" : ""}</b> ${status}
    </button>`)}
    <button type="button" class="count" aria-pressed=${isRecent} onClick=${() => onFilter(withRecentFailures(filter, !isRecent))}>Failed in the last hour</button>
  </div>`;
}

export function Filters({ filter, hub, onFilter }) {
  const set = (name) => (event) => onFilter({ ...filter, [name]: event.target.value });
  const periods = Object.entries(PERIODS).map(([name, { text }]) => html`<option key=${name} value=${name}>${text}</option>`);
  return html`<form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>
    <label>Search <input type="search" value=${filter.search} onInput=${set("search")} placeholder="any text" title="In the id, the name or the custom status" autocomplete="off" /></label>
    <label>Name <input list="names" value=${filter.name} onInput=${set("name")} placeholder="any" autocomplete="off" /></label>
    <datalist id="names">${(hub?.orchestrators ?? []).map((name) => html`<option key=${name} value=${name} />`)}</datalist>
    <label>Id begins with <input value=${filter.prefix} onInput=${set("prefix")} placeholder="any" autocomplete="off" /></label>
    <label>Created <select value=${filter.created} onChange=${set("created")}>
      <option value="">at any time</option>
      ${periods}
      <option value="range">between …</option>
    </select></label>
    ${filter.created === "range" && html`
      <label>From <input type="datetime-local" step="1" value=${filter.from} onChange=${set("from")} /></label>
      <label>To <input type="datetime-local" step="1" value=${filter.to} onChange=${set("to")} /></label>`}
    <label>Updated <select value=${filter.updated} onChange=${set("updated")}>
      <option value="">at any time</option>
      ${periods}
    </select></label>
    ${conditions(filter) !== "" && html`<button type="button" onClick=${() => onFilter({ ...EVERYTHING, sort: filter.sort })}>Clear</button>`}
  </form>`;
}
