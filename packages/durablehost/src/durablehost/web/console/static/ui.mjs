// Small parts that several views use.

import { html, useEffect, useLayoutEffect, useRef, useState } from "./vendor/htm-preact.mjs";
import { visibleRows } from "./layout.mjs";
import { cutNote, progressText, readable } from "./words.mjs";

/** The time of the host, new every second while `isRunning`. */
export function useNow(clock, isRunning = true) {
  const [now, setNow] = useState(clock.now());
  useEffect(() => {
    setNow(clock.now());
    if (!isRunning) return undefined;
    const timer = setInterval(() => setNow(clock.now()), 1000);
    return () => clearInterval(timer);
  }, [clock, isRunning]);
  return now;
}

/**
 * Draws anew when the store has changed in a way that `concerns` accepts: a function of the set of changed ids. Returns a
 * number that is another one after each such change.
 */
export function useStore(store, concerns) {
  const [version, setVersion] = useState(0);
  const latest = useRef(concerns);
  latest.current = concerns;
  useEffect(() => store.listen((ids) => latest.current(ids) && setVersion((before) => before + 1)), [store]);
  return version;
}

const SIGNS = {
  Pending: "○", Running: "▶", Suspended: "‖", Completed: "✓", Failed: "✕", Terminated: "■", Canceled: "■", ContinuedAsNew: "↻",
};

export function Badge({ status }) {
  return html`<span class=${`badge ${status}`}><span aria-hidden="true">${SIGNS[status] ?? "?"}</span> ${status}</span>`;
}

export function Progress({ progress, withText = true }) {
  const text = progressText(progress);
  if (!text) return null;
  const part = (number) => `${(100 * number) / progress.total}%`;
  return html`<span class="progress" title=${progress.phase ? `${progress.phase}: ${text}` : text}>
    <span class="track" role="progressbar" aria-label=${text} aria-valuemin="0" aria-valuemax=${progress.total}
      aria-valuenow=${progress.done}>
      <span class="good" style=${{ width: part(progress.done - progress.failed) }}></span>
      <span class="bad" style=${{ width: part(progress.failed) }}></span>
    </span>
    ${withText && html`<span class="text">${text}</span>`}
  </span>`;
}

// In characters. A longer text is higher than the box that it scrolls in.
const VAST = 20_000;

/** A stored text: as JSON with indents, or as it is. */
export function Text({ text, empty = "None" }) {
  if (!text) return html`<p class="soft">${empty}</p>`;
  const note = cutNote(text);
  return html`<div>${note && html`<p class="soft">${note}</p>`}<pre class=${text.text.length > VAST ? "vast" : ""} tabindex="0">${readable(text)}</pre></div>`;
}

const ROW_REM = 2.25;
const OPEN_REM = 16;

/**
 * A table that draws the rows in sight alone. Every row is as high as the others, and so is what unfolds below one.
 *
 * `row(number)` gives the cells of a row, `opened(number)` what is below it; `openedRows` are sorted numbers. A new
 * `reveal` ({ row }) scrolls to its row, a new `order` (any text) to the first one. `follow` keeps the last row in sight,
 * until the reader scrolls away from it. `role` is that of the table, and `rowAttributes(number)` gives more attributes of a row.
 * A new `focus` ({ row }) gives its row the focus. `onSight` gets the numbers of the rows that are drawn, `{ first, last }`, without
 * the last one.
 */
export function LongTable({
  label, kind = "", role, columns, count, row, keyOf, openedRows = [], opened, rowClass = () => "", rowAttributes = () => ({}), reveal = null,
  order = "", follow = false, focus = null, onSight = () => {},
}) {
  const box = useRef(null);
  const isAtEnd = useRef(true);
  const [view, setView] = useState({ top: 0, height: 800 });
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize) || 16;
  const rowHeight = Math.round(ROW_REM * rem);
  const openHeight = Math.round(OPEN_REM * rem);
  useLayoutEffect(() => {
    const element = box.current;
    const measure = () => setView({ top: element.scrollTop, height: element.clientHeight });
    const scroll = () => {
      isAtEnd.current = element.scrollTop + element.clientHeight >= element.scrollHeight - rowHeight;
      measure();
    };
    measure();
    element.addEventListener("scroll", scroll, { passive: true });
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => {
      element.removeEventListener("scroll", scroll);
      observer.disconnect();
    };
  }, []);
  useLayoutEffect(() => {
    if (follow && isAtEnd.current) box.current.scrollTop = box.current.scrollHeight;
  }, [count, follow]);
  useEffect(() => {
    if (reveal === null) return;
    const above = openedRows.filter((each) => each < reveal.row).length;
    box.current.scrollTop = Math.max(0, (reveal.row - 1) * rowHeight + above * openHeight);
    box.current.scrollIntoView({ block: "nearest" });
  }, [reveal]);
  useEffect(() => {
    if (!follow) box.current.scrollTop = 0;
  }, [order]);
  const { first, last, before, after } = visibleRows({ count, rowHeight, opened: openedRows, openHeight, ...view });
  useEffect(() => onSight({ first, last }), [first, last]);
  const focused = useRef(null);
  useLayoutEffect(() => {
    if (focus === focused.current) return;
    const element = box.current.querySelector(`tr[aria-rowindex="${focus.row + 2}"]`);
    if (!element) box.current.scrollTop = focus.row * rowHeight; // which draws it
    else {
      focused.current = focus;
      element.focus();
    }
  }, [focus, first, last]);
  const shown = [];
  for (let number = first; number < last; number += 1) {
    const isOpened = openedRows.includes(number);
    const key = keyOf(number);
    shown.push(html`<tr key=${key} class=${rowClass(number)} aria-rowindex=${number + 2} style=${{ height: `${rowHeight}px` }} ...${rowAttributes(number)}>
      ${row(number)}
    </tr>`);
    if (isOpened)
      shown.push(html`<tr key=${`${key} opened`} class="opened" style=${{ height: `${openHeight}px` }}>
        <td colspan=${columns.length}><div style=${{ height: `${openHeight - 2}px` }}>${opened(number)}</div></td>
      </tr>`);
  }
  return html`<div class=${`long ${kind}`} ref=${box} tabindex="0" role="region" aria-label=${label}>
    <table role=${role} aria-label=${role && label} aria-rowcount=${count + 1}>
      <thead><tr aria-rowindex="1">${columns.map(
        (column) => html`<th key=${column.title} class=${column.class ?? ""} scope="col" title=${column.hint}
          aria-sort=${column.order}>${column.head ?? column.title}</th>`,
      )}</tr></thead>
      <tbody>
        <tr key="before" class="room" style=${{ height: `${before}px` }} aria-hidden="true"></tr>
        ${shown}
        <tr key="after" class="room" style=${{ height: `${after}px` }} aria-hidden="true"></tr>
      </tbody>
    </table>
  </div>`;
}
