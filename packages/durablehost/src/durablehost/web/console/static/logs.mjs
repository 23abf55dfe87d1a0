// The logs of an instance, as its functions have written them; they follow the instance while it runs.

import { html, useEffect, useMemo, useRef, useState } from "./vendor/htm-preact.mjs";
import { get } from "./api.mjs";
import { LEAST, NO_LINES, firstLine, lastNumber, levelName, missing, shownLines, withAnswer } from "./lines.mjs";
import { LongTable } from "./ui.mjs";
import { count, cutNote, moment, timeOf } from "./words.mjs";

// The host answers from its memory.
const PAUSE_MS = 2000;

const COLUMNS = [
  { title: "Time", class: "time exact" },
  { title: "Level", class: "level" },
  { title: "Function", class: "function" },
  { title: "Text", class: "what" },
];
const TITLES = { all: "All lines", warnings: "Warnings and errors", errors: "Errors" };

/** `only`: { task } shows the lines of one activity, null those of all; `onOnly` changes that. */
export function Logs({ id, isRunning, opened, now, only, onOnly, onProblem }) {
  const known = useLines({ id, isRunning, opened, onProblem });
  const [shown, setShown] = useState("all");
  const [unfolded, setUnfolded] = useState(new Set());
  const section = useRef(null);
  const task = only?.task ?? null;
  useEffect(() => {
    if (only === null) return;
    setShown("all");
    section.current.scrollIntoView({ block: "nearest" });
    section.current.focus({ preventScroll: true });
  }, [only]);
  const lines = useMemo(() => shownLines(known.lines, LEAST[shown], task), [known.lines, shown, task]);
  const toggle = (number) => {
    const next = new Set(unfolded);
    if (!next.delete(number)) next.add(number);
    setUnfolded(next);
  };
  const gone = missing(known);
  return html`<section ref=${section} tabindex="-1" aria-label="Logs"><h2>Logs</h2>
    ${known.lines.length > 0 && html`<div class="tabs" role="group" aria-label="Show lines">
      ${Object.keys(LEAST).map((name) => html`<button key=${name} type="button" aria-pressed=${shown === name}
        onClick=${() => setShown(name)}>${TITLES[name]} ${count(shownLines(known.lines, LEAST[name], task).length)}</button>`)}
      ${only && html`<button type="button" onClick=${() => onOnly(null)}>Task ${task} alone: show every task</button>`}
    </div>`}
    ${gone > 0 && html`<p class="soft">${count(gone)} earlier ${gone === 1 ? "line is" : "lines are"} left out: the host and this page keep the latest.</p>`}
    ${lines.length > 0
      ? html`<${LongTable} label="Log lines" columns=${COLUMNS} count=${lines.length} keyOf=${(number) => lines[number].number}
          row=${(number) => cells(lines[number], unfolded.has(lines[number].number), () => toggle(lines[number].number), now)}
          rowClass=${(number) => levelName(lines[number].level)} follow=${isRunning}
          openedRows=${lines.map((_, number) => number).filter((number) => unfolded.has(lines[number].number))}
          opened=${(number) => html`<${Whole} text=${lines[number].text} />`} />`
      : html`<p class="soft">${reason(known, isRunning)}</p>`}
  </section>`;
}

function reason(known, isRunning) {
  if (known.isLoading) return "Loading …";
  if (!known.isKept) return "Logs are in the memory of the host that runs the functions: open the console of that host.";
  if (known.lines.length) return "No line matches.";
  return `This host has no line of this instance${isRunning ? " yet" : ""}. It keeps in memory what functions log while it runs.`;
}

function cells(line, isUnfolded, toggle, now) {
  const first = firstLine(line.text.text);
  return html`
    <td class="time exact">${moment(timeOf(line.at), now, true)}</td>
    <td class="level">${levelName(line.level)}</td>
    <td class="function" title=${line.function}>${line.function}${line.task === null ? "" : html` <span class="soft">(task ${line.task})</span>`}</td>
    <td class="what"><button type="button" class="fold" aria-expanded=${isUnfolded} onClick=${toggle}>${first || "(empty)"}</button></td>`;
}

function Whole({ text }) {
  const note = cutNote(text);
  return html`<div>${note && html`<p class="soft">${note} The host does not keep the rest.</p>`}<pre>${text.text}</pre></div>`;
}

/** The lines that the host has kept, and those that come while the instance runs. */
function useLines({ id, isRunning, opened, onProblem }) {
  const [known, setKnown] = useState(NO_LINES);
  const latest = useRef(NO_LINES);
  useEffect(() => {
    // Another host may have other lines.
    latest.current = NO_LINES;
  }, [id, opened]);
  useEffect(() => {
    const control = new AbortController();
    let timer = null;
    const read = async () => {
      if (!document.hidden) {
        try {
          const after = lastNumber(latest.current);
          const answer = await get(`instances/${encodeURIComponent(id)}/logs?after=${after}`, control.signal);
          latest.current = withAnswer(latest.current, answer);
          setKnown(latest.current);
        } catch (error) {
          if (control.signal.aborted) return;
          if (error.needsKey) return onProblem(error); // else the stream of changes shows the problem
        }
      }
      if (isRunning && latest.current.isKept) timer = setTimeout(read, PAUSE_MS);
    };
    void read();
    return () => {
      clearTimeout(timer);
      control.abort();
    };
  }, [id, opened, isRunning]);
  return known;
}
