// A chart of one series: a line of means in a band from the minima to the maxima. uPlot is loaded by the page.

import { html, useEffect, useLayoutEffect, useRef, useState } from "./vendor/htm-preact.mjs";
import { axisTexts, figure } from "./output.mjs";

const HEIGHT = 260;
// In seconds, on each side of a single point: uPlot would show years.
const ROOM = 43_200;

/** `columns`: times in seconds, means, minima, maxima. `label` says the same in words. */
export function BandChart({ columns, label }) {
  const box = useRef(null);
  const isDark = useDarkness();
  useLayoutEffect(() => {
    const element = box.current;
    const plot = new window.uPlot(optionsFor(element), columns, element);
    const observer = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: HEIGHT }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      plot.destroy();
    };
  }, [columns, isDark]);
  return html`<div class="chart" ref=${box} role="img" aria-label=${label}></div>`;
}

function optionsFor(element) {
  const style = getComputedStyle(element);
  const [line, band, text, grid] = ["--running", "--band", "--soft", "--line"].map((name) => style.getPropertyValue(name).trim());
  const axis = { stroke: text, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1 }, font: `12px ${style.fontFamily}` };
  const value = (plot, number) => (number === null || number === undefined ? "–" : figure(number));
  return {
    width: element.clientWidth,
    height: HEIGHT,
    tzDate: (seconds) => window.uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    scales: { x: { range: ({ data: [times] }, from, to) => (times.length === 1 ? [times[0] - ROOM, times[0] + ROOM] : [from, to]) } },
    axes: [{ ...axis, space: 90, values: (plot, times, number, room, step) => axisTexts(times, step) }, { ...axis, size: 64 }],
    series: [
      { label: "Time (UTC)", value: "{YYYY}-{MM}-{DD} {HH}:{mm}" },
      { label: "Mean", stroke: line, width: 2, value, points: { size: 5, fill: line } },
      { label: "Minimum", stroke: band, width: 1, value, points: { show: false } },
      { label: "Maximum", stroke: band, width: 1, value, points: { show: false } },
    ],
    bands: [{ series: [3, 2], fill: band }],
  };
}

/** Whether the page is dark: a canvas does not follow the style sheet by itself. */
function useDarkness() {
  const query = useRef(window.matchMedia("(prefers-color-scheme: dark)"));
  const [isDark, setIsDark] = useState(query.current.matches);
  useEffect(() => {
    const change = () => setIsDark(query.current.matches);
    change();
    query.current.addEventListener("change", change);
    return () => query.current.removeEventListener("change", change);
  }, []);
  return isDark;
}
