// The instances by their time of creation, as a small plot. A click on a bar, or a drag over several, selects their time.

import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./vendor/htm-preact.mjs";
import { bucketAt, bucketWords, bucketsOf, plotWords, selection, stack, tickText } from "./buckets.mjs";
import { duration } from "./words.mjs";

const HEIGHT = 96;
const LEAST_BAR_PX = 9;
const MOST_BARS = 60;
// More would be tiring to hear.
const MOST_READ = 12;
const DRAG_PX = 5;
const WHOLE_NUMBERS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000];
const COLOURS = {
  Completed: "--bar", Running: "--bar-open", Pending: "--waiting", Suspended: "--paused", Failed: "--bar-failed",
  Terminated: "--off", Canceled: "--off", ContinuedAsNew: "--off",
};

/**
 * `created`: the times by status; `range`: what the filter allows; `onSelect` gets the part of a filter. `isPending`: these
 * are the times of the filter before, which nobody should read or select.
 */
export function Plot({ created, range, now, isPending, onSelect }) {
  const box = useRef(null);
  const plot = useRef(null);
  const [width, setWidth] = useState(0);
  const [pointed, setPointed] = useState(null);
  const most = Math.max(12, Math.min(MOST_BARS, Math.floor(width / LEAST_BAR_PX)));
  const offset = -60_000 * new Date(now).getTimezoneOffset();
  const counted = [created, range.from, range.to, offset];
  const buckets = useMemo(() => bucketsOf(created, range, { most, offset }), [...counted, most]);
  const read = useMemo(() => bucketsOf(created, range, { most: MOST_READ, offset }), counted);
  const latest = useRef(null);
  // What is drawn stays until there is something else to draw.
  latest.current = { buckets: buckets ?? latest.current?.buckets, onSelect, setPointed };
  useLayoutEffect(() => {
    const measure = () => setWidth(box.current.clientWidth);
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(box.current);
    return () => {
      observer.disconnect();
      plot.current?.destroy();
    };
  }, []);
  useLayoutEffect(() => {
    if (!width || buckets === null) return;
    if (plot.current === null) plot.current = newPlot(box.current, width, latest);
    else {
      plot.current.setSize({ width, height: HEIGHT });
      plot.current.setData(dataOf(buckets));
    }
    // A text that changes only when the picture does: this function runs every second.
  }, [width, JSON.stringify(buckets)]);
  useEffect(() => {
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    const redraw = () => plot.current?.redraw();
    scheme.addEventListener("change", redraw);
    return () => scheme.removeEventListener("change", redraw);
  }, []);
  const shown = pointed !== null && buckets !== null ? bucketWords(buckets, bucketAt(buckets, pointed), now) : "";
  return html`<figure class=${isPending ? "plot pending" : "plot"}>
    <div class="drawing" ref=${box} aria-hidden="true"></div>
    <figcaption>
      <span class="hidden">${isPending ? "Counting …" : read && plotWords(read, now)}</span>
      <span class="soft" aria-hidden="true">${isPending ? "Counting …" : shown || (buckets && `Created, per ${duration(buckets.step)}. Select a time to filter by it.`)}</span>
    </figcaption>
  </figure>`;
}

function dataOf(buckets) {
  const parts = stack(buckets);
  return [parts[0].tops.map((_, index) => (buckets.begin + index * buckets.step) / 1000), ...parts.map(({ tops }) => tops)];
}

function newPlot(box, width, latest) {
  const soft = () => colour("--soft");
  const grid = { stroke: () => colour("--line"), width: 1 };
  const font = "12px system-ui, sans-serif";
  const end = ({ begin, step, counts }) => begin + step * counts.Completed.length;
  const plot = new uPlot(
    {
      width,
      height: HEIGHT,
      padding: [6, 8, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { show: false }, drag: { x: true, y: false, setScale: false, dist: DRAG_PX, click: keepClick } },
      scales: {
        x: { range: () => [latest.current.buckets.begin / 1000, end(latest.current.buckets) / 1000] },
        y: { range: (_, least, greatest) => [0, Math.max(1, greatest ?? 1)] },
      },
      axes: [
        { stroke: soft, font, grid, ticks: { show: false }, size: 22, space: 64, values: (_, splits, __, ___, step) => splits.map((at) => tickText(1000 * at, 1000 * step)) },
        { stroke: soft, font, grid, ticks: { show: false }, size: 40, space: 22, incrs: WHOLE_NUMBERS },
      ],
      series: [{}, ...stack(latest.current.buckets).map(({ status }) => ({
        label: status, width: 0, fill: () => colour(COLOURS[status]), points: { show: false },
        paths: uPlot.paths.bars({ align: 1, size: [1, Infinity], gap: 1 }),
      }))],
      hooks: {
        setCursor: [(self) => latest.current.setPointed(self.cursor.left >= 0 ? timeAt(self, self.cursor.left) : null)],
        setSelect: [(self) => {
          const { left, width: selected } = self.select;
          if (selected > 0) select(timeAt(self, left), timeAt(self, left + selected));
          self.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
        }],
      },
    },
    dataOf(latest.current.buckets),
    box,
  );
  const select = (from, to) => {
    const { buckets, onSelect } = latest.current;
    onSelect(selection(buckets, bucketAt(buckets, from), bucketAt(buckets, to)));
  };
  let pressedAt = 0;
  plot.over.addEventListener("mousedown", (event) => {
    pressedAt = event.clientX;
  });
  plot.over.addEventListener("click", (event) => {
    if (Math.abs(event.clientX - pressedAt) >= DRAG_PX) return; // the end of a drag
    const at = timeAt(plot, event.clientX - plot.over.getBoundingClientRect().left);
    select(at, at);
  });
  return plot;
}

/** The plot would swallow the click of a hand that trembles. */
function keepClick() {}

function timeAt(plot, left) {
  return 1000 * plot.posToVal(left, "x");
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
