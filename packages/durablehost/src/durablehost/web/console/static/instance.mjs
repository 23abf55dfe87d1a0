// One instance: what it does in words, its timeline, its history, its input and output, and what one can do to it.

import { html, useEffect, useMemo, useState } from "./vendor/htm-preact.mjs";
import { Actions } from "./actions.mjs";
import { get } from "./api.mjs";
import { Explanation } from "./explanation.mjs";
import { Logs } from "./logs.mjs";
import { looksLikeRun, runOf } from "./output.mjs";
import { readOnChange } from "./reader.mjs";
import { Result } from "./result.mjs";
import { SubOrchestrations } from "./suborchestrations.mjs";
import { Timeline } from "./timeline.mjs";
import { Badge, LongTable, Progress, Text, useNow } from "./ui.mjs";
import { count, countTasks, cutNote, duration, failureText, headline, isFinished, link, moment, pretty, readable, timeOf } from "./words.mjs";

export function Instance({ id, hub, store, clock, opened, onProblem, onStart }) {
  const { detail, entries, problem, isGone } = useInstance({ id, store, opened, onProblem });
  const live = store.rows.get(id);
  const row = detail && live && timeOf(live.updated) > timeOf(detail.updated) ? { ...detail, ...live, customStatus: detail.customStatus } : detail;
  const now = useNow(clock, !row || !isFinished(row.status));
  const { output, isLoaded, load } = useOutput(row, onProblem);
  const run = useMemo(() => (row?.status === "Completed" ? runOf(output) : null), [row?.status, output?.text]);
  const [onlyLogs, setOnlyLogs] = useState(null);
  useEffect(() => {
    document.title = row ? `${row.status}: ${row.name}` : id;
  }, [id, row?.status]);
  if (isGone) return html`<main><${Crumbs} id=${id} /><p class="empty">There is no instance with this id. It may have been purged.</p></main>`;
  if (!row) return html`<main><${Crumbs} id=${id} /><p class="empty">Loading …</p></main>`;
  const end = isFinished(row.status) ? timeOf(row.completed) ?? timeOf(row.updated) : now;
  return html`<main>
    <${Crumbs} id=${id} parent=${row.parentId} />
    <div class="head">
      <h1>${row.name} <${Badge} status=${row.status} /></h1>
      <p class="headline" role="status">${headline(row, countTasks(entries), now)}</p>
      ${row.progress && html`<${Progress} progress=${row.progress} withText=${false} />`}
      <p class="soft facts">Id <code>${id}</code> · created ${moment(timeOf(row.created), now)} · updated ${moment(timeOf(row.updated), now)}${row.version ? ` · version ${row.version}` : ""}</p>
      ${hub?.actions && html`<${Actions} row=${row} store=${store} onStart=${() => onStart({ name: row.name, input: wholeText(row.input) })} />`}
    </div>
    ${row.problem && html`<p class="problem" role="alert">${row.problem}</p>`}
    ${problem && html`<p class="problem" role="alert">The history cannot be read: ${problem}</p>`}
    ${!isFinished(row.status) && html`<${Explanation} id=${id} version=${row.updated} />`}
    ${row.status === "Failed" && row.output && html`<section><h2>Failure</h2><pre class="failure" tabindex="0">${failureText(row.output)}</pre></section>`}
    ${run && html`<${Result} id=${id} run=${run} groups=${groupsOf(entries)} onProblem=${onProblem} />`}
    <${SubOrchestrations} instance=${row} entries=${entries} store=${store} clock=${clock} opened=${opened} onProblem=${onProblem} />
    <${History} id=${id} row=${row} entries=${entries} end=${end} now=${now} onLogs=${(task) => setOnlyLogs({ task })} onProblem=${onProblem} />
    <${Logs} id=${id} isRunning=${!isFinished(row.status)} opened=${opened} now=${now} only=${onlyLogs} onOnly=${setOnlyLogs} onProblem=${onProblem} />
    <div class="payloads">
      <section><h2>Input</h2><${Text} text=${row.input} /></section>
      ${row.status !== "Failed" && html`<section><h2>Output</h2>
        ${cutNote(output) && (isLoaded
          ? html`<p class="soft">The whole output: <code>GET /runtime/webhooks/durabletask/instances/${encodeURIComponent(id)}</code></p>`
          : html`<button type="button" onClick=${load}>${looksLikeRun(output) ? "Load it all, and show the result" : "Load more of it"}</button>`)}
        <${Text} text=${run ? row.output : output} empty=${isFinished(row.status) ? "None" : "None yet"} /></section>`}
      <section><h2>Custom status</h2><${Text} text=${row.customStatus} /></section>
    </div>
  </main>`;
}

function Crumbs({ id, parent = null }) {
  return html`<nav class="crumbs" aria-label="Where you are"><a href="#/">Instances</a>${parent && html`${" / "}<a href=${link(parent)} title="The parent">${parent}</a>`}${" / "}<span>${id}</span></nav>`;
}

/** The ids of the sub-orchestrations that have completed. */
function groupsOf(entries) {
  return entries.filter((entry) => entry.kind === "sub-orchestration" && entry.ended && !entry.failed).map((entry) => entry.instanceId);
}

/** The text of an input if it is whole, for a start with the same one. */
function wholeText(text) {
  return text && text.text.length === text.length ? pretty(text) : "";
}

/** The output, which the page asks for alone to get more of it. */
function useOutput(row, onProblem) {
  const [more, setMore] = useState(null);
  useEffect(() => setMore(null), [row?.id, row?.output?.length, row?.completed]);
  const load = async () => {
    try {
      setMore(await get(`instances/${encodeURIComponent(row.id)}/output`));
    } catch (error) {
      onProblem(error);
    }
  };
  return { output: more ?? row?.output ?? null, isLoaded: more !== null, load };
}

/** Loads the instance and its history, and again after each change. */
function useInstance({ id, store, opened, onProblem }) {
  const [state, setState] = useState({ detail: null, entries: [], problem: null, isGone: false });
  useEffect(() => {
    const path = `instances/${encodeURIComponent(id)}`;
    const read = async (signal) => {
      try {
        const [detail, history] = await Promise.all([get(path, signal), get(`${path}/history`, signal)]);
        setState({ detail, entries: history.entries, problem: history.problem ?? null, isGone: false });
      } catch (error) {
        if (error.status !== 404) throw error;
        setState((before) => ({ ...before, isGone: true }));
      }
    };
    const end = readOnChange(id, store, read, onProblem);
    // Nobody tells of a purge, which is often done in another window.
    const again = () => store.tell([id]);
    window.addEventListener("focus", again);
    return () => {
      window.removeEventListener("focus", again);
      end();
    };
  }, [id, opened]);
  return state;
}

const COLUMNS = [
  { title: "What", class: "what" },
  { title: "Status", class: "status" },
  { title: "At", class: "time exact", hint: "When it was requested, or happened" },
  { title: "Waited", class: "time short", hint: "Until this host began to run it. Unknown if another host ran it, or before the last start" },
  { title: "Ran", class: "time short", hint: "Until its result. With ≤, the wait is part of it" },
];
const LEGEND = [["waited", "waiting"], ["done", "completed"], ["open", "not ended yet"], ["failed", "failed"], ["timer", "timer"], ["mark", "event"]];
const SHOWN = { all: () => true, failed: (entry) => entry.failed, open: isOpen };

function isOpen(entry) {
  return !entry.ended && (entry.kind === "activity" || entry.kind === "sub-orchestration" || entry.kind === "timer");
}

function History({ id, row, entries, end, now, onLogs, onProblem }) {
  const [shown, setShown] = useState("all");
  const [unfolded, setUnfolded] = useState(new Set());
  const [reveal, setReveal] = useState(null);
  const positions = entries.map((_, index) => index).filter((index) => SHOWN[shown](entries[index]));
  const openedRows = positions.map((_, number) => number).filter((number) => unfolded.has(positions[number]));
  const toggle = (position) => {
    const next = new Set(unfolded);
    if (!next.delete(position)) next.add(position);
    setUnfolded(next);
  };
  const show = (position) => {
    setShown("all");
    setUnfolded(new Set([...unfolded, position]));
    setReveal({ row: position });
  };
  const hasBars = entries.some((entry) => entry.kind !== "started" && entry.kind !== "ended");
  const amount = (name) => count(entries.filter(SHOWN[name]).length);
  return html`
    <section><h2>Timeline</h2>
      ${hasBars ? html`<${Timeline} entries=${entries} began=${timeOf(row.created)} end=${end} onOpen=${show} />
        <p class="legend soft">${LEGEND.map(([name, text]) => html`<span key=${name}><span class=${`sample ${name}`}></span> ${text}</span>`)}</p>`
      : html`<p class="soft">No activity, sub-orchestration, timer or event.</p>`}
    </section>
    <section><h2>History</h2>
      ${entries.length > 0 && html`
        <div class="tabs" role="group" aria-label="Show">
          ${Object.keys(SHOWN).map((name) => html`<button key=${name} type="button" aria-pressed=${shown === name}
            onClick=${() => setShown(name)}>${{ all: "All", failed: "Failed", open: "Not ended" }[name]} ${amount(name)}</button>`)}
        </div>
        <${LongTable} label="History" columns=${COLUMNS} count=${positions.length} keyOf=${(number) => positions[number]}
          row=${(number) => cells(entries[positions[number]], unfolded.has(positions[number]), () => toggle(positions[number]), now)}
          rowClass=${(number) => (entries[positions[number]].failed ? "failed" : "")}
          openedRows=${openedRows} reveal=${reveal}
          opened=${(number) => html`<${Details} id=${id} position=${positions[number]} entry=${entries[positions[number]]} onLogs=${onLogs} onProblem=${onProblem} />`} />`}
    </section>`;
}

function cells(entry, isUnfolded, toggle, now) {
  const at = timeOf(entry.at);
  const began = timeOf(entry.began);
  const ended = timeOf(entry.ended);
  const until = ended ?? now;
  const ran = began !== null ? duration(until - began) : `≤ ${duration(until - at)}`;
  const takesTime = ended !== null || isOpen(entry);
  const title = entry.name ?? (entry.kind === "timer" ? `until ${moment(timeOf(entry.fireAt), now)}` : "");
  return html`
    <td class="what"><button type="button" class="fold" aria-expanded=${isUnfolded} onClick=${toggle}>
      <span class="soft">${entry.kind}</span> ${title}${entry.task === undefined ? "" : html` <span class="soft">(task ${entry.task})</span>`}</button>${entry.instanceId ? html` <a href=${link(entry.instanceId)} title=${entry.instanceId}>${entry.instanceId}</a>` : html` <span class="soft gist">${readable(entry.error ?? entry.input ?? entry.result, true)}</span>`}</td>
    <td class="status">${outcome(entry)}</td>
    <td class="time exact">${moment(at, now, true)}</td>
    <td class="time short">${began === null ? "" : duration(began - at)}</td>
    <td class="time short">${takesTime ? (entry.kind === "timer" ? duration(until - at) : ran) : ""}</td>`;
}

function outcome(entry) {
  if (entry.status) return html`<${Badge} status=${entry.status} />`;
  if (entry.failed) return html`<${Badge} status="Failed" />`;
  if (entry.ended) return html`<${Badge} status="Completed" />`;
  if (!isOpen(entry)) return null;
  return html`<${Badge} status=${entry.kind === "activity" && !entry.began ? "Pending" : "Running"} />`;
}

/** The texts of an entry; those that the history has cut are asked for. */
function Details({ id, position, entry, onLogs, onProblem }) {
  const [whole, setWhole] = useState(null);
  const isCut = [entry.input, entry.result, entry.error, entry.details].some((text) => cutNote(text));
  // After a continue-as-new, another entry is in this place.
  const version = `${entry.at} ${entry.ended}`;
  useEffect(() => {
    if (!isCut) return undefined;
    const control = new AbortController();
    get(`instances/${encodeURIComponent(id)}/history/${position}`, control.signal)
      .then((found) => setWhole({ version, found }))
      .catch((error) => control.signal.aborted || onProblem(error));
    return () => control.abort();
  }, [id, position, isCut, version]);
  const shown = whole?.version === version ? whole.found : entry;
  const texts = [["Error", shown.error, failureText], ["Details", shown.details, failureText], ["Input", shown.input, readable], ["Result", shown.result, readable]];
  const present = texts.filter(([, text]) => text);
  return html`
    ${entry.kind === "activity" && html`<button type="button" onClick=${() => onLogs(entry.task)}>Its log lines</button>`}
    ${present.length
      ? present.map(([title, text, words]) => html`<div key=${title}><h3>${title}</h3>${cutNote(text) && html`<p class="soft">${cutNote(text)}</p>`}<pre>${words(text)}</pre></div>`)
      : html`<p class="soft">No input and no result.</p>`}`;
}
