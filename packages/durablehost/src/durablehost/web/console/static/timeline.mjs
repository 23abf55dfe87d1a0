// The timeline of an instance: a rectangle for each activity, sub-orchestration and timer, a mark for each event.

import { html, useLayoutEffect, useMemo, useRef, useState } from "./vendor/htm-preact.mjs";
import { assignLanes, bars, range, ticks } from "./layout.mjs";
import { duration } from "./words.mjs";

const AXIS = 22;
const MARK = 4;
const LETTER = 7;

/** `end`: the time up to which open bars go. `onOpen` is called with the number of an entry. */
export function Timeline({ entries, began, end, onOpen }) {
  const box = useRef(null);
  const [view, setView] = useState({ width: 800, top: 0, height: 400 });
  useLayoutEffect(() => {
    const element = box.current;
    const measure = () => setView({ width: element.clientWidth, top: element.scrollTop, height: element.clientHeight });
    measure();
    element.addEventListener("scroll", measure, { passive: true });
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => {
      element.removeEventListener("scroll", measure);
      observer.disconnect();
    };
  }, []);
  const { all, lanes, from, to } = useMemo(() => {
    const found = bars(entries, end);
    const shown = range(found, began, end);
    // A mark takes room too, so that marks of one moment do not hide each other.
    return { all: found, lanes: assignLanes(found, ((shown.to - shown.from) * MARK) / 400), ...shown };
  }, [entries, began, end]);
  const laneHeight = lanes <= 16 ? 22 : lanes <= 60 ? 10 : 6;
  const width = Math.max(200, view.width);
  const x = (time) => ((time - from) / (to - from)) * (width - 1);
  const isVisible = (bar) => {
    const y = AXIS + bar.lane * laneHeight;
    return y + laneHeight >= view.top - 200 && y <= view.top + view.height + 200;
  };
  return html`<div class="timeline" ref=${box} tabindex="0" role="region" aria-label="Timeline; the history has the same as a table">
    <svg width=${width} height=${AXIS + lanes * laneHeight + 4} role="img" aria-label=${`${all.length} entries in ${duration(to - from)}`}>
      ${ticks(to - from, Math.max(2, Math.floor(width / 110))).map((at) => html`<g key=${`t${at}`} class="tick">
        <line x1=${x(from + at) + 0.5} x2=${x(from + at) + 0.5} y1="0" y2=${AXIS + lanes * laneHeight} />
        <text x=${x(from + at) + 4} y="14">${at ? duration(at) : "0"}</text>
      </g>`)}
      ${all.filter(isVisible).map((bar) => html`<${Bar} key=${bar.index} bar=${bar} x=${x}
        y=${AXIS + bar.lane * laneHeight + 1} height=${laneHeight - 2} width=${width} onOpen=${onOpen} />`)}
    </svg>
  </div>`;
}

function Bar({ bar, x, y, height, width, onOpen }) {
  const from = x(bar.from);
  const length = Math.max(MARK / 2, x(bar.to) - from);
  // However short the run was, its colour shows how it ended.
  const waited = bar.began === null ? 0 : Math.min(x(bar.began) - from, length - MARK);
  const isMark = bar.from === bar.to;
  const letters = Math.floor((length - 8) / LETTER);
  const label = bar.name.length <= letters ? bar.name : letters > 3 ? `${bar.name.slice(0, letters - 1)}…` : "";
  const left = Math.min(from, width - length);
  return html`<g class=${`bar ${bar.kind.replace(" ", "-")} ${bar.state}`} onClick=${() => onOpen(bar.index)}>
    <title>${describe(bar)}</title>
    ${isMark
      ? html`<rect class="mark" x=${Math.min(from, width - MARK)} y=${y} width=${MARK} height=${height} />`
      : html`<rect class="whole" x=${left} y=${y} width=${length} height=${height} rx="2" />
          ${waited > 1 && html`<rect class="waited" x=${left} y=${y} width=${waited} height=${height} rx="2" />`}`}
    ${height > 14 && label && html`<text x=${left + 5} y=${y + height - 6}>${label}</text>`}
  </g>`;
}

function describe(bar) {
  const kind = bar.kind === bar.name ? bar.kind : `${bar.kind} ${bar.name}`;
  if (bar.from === bar.to) return kind;
  const outcome = { open: "not ended yet", failed: "failed", done: "completed" }[bar.state];
  const parts = [`${kind}: ${outcome}, ${duration(bar.to - bar.from)}`];
  if (bar.began !== null) parts.push(`waited ${duration(bar.began - bar.from)}, ran ${duration(bar.to - bar.began)}`);
  return parts.join("; ");
}
