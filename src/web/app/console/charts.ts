// The two charts of the live page.
import uPlot from "uplot";
import { figure, millis } from "./format";
import { points } from "./stream";

/** Seconds of a chart: at least a minute, then as many as there are, up to five minutes. */
function span(): [number, number] {
  const now = Date.now() / 1000;
  const first = points[0] ? Date.parse(points[0].at) / 1000 : now;
  return [Math.max(now - 300, Math.min(first, now - 60)), now];
}

/** Returns the colours of the page as it is now, light or dark. */
function colours(): (name: string) => string {
  const probe = document.createElement("span");
  document.body.append(probe);
  const known = new Map<string, string>();
  for (const name of ["accent", "warn", "good", "bad", "line", "soft"]) {
    probe.style.color = `var(--${name})`;
    known.set(name, getComputedStyle(probe).color);
  }
  probe.remove();
  return (name) => known.get(name) ?? "gray";
}

function faded(colour: string, share: number): string {
  return colour.replace(/^rgb\((.*)\)$/, `rgb($1 / ${share})`).replaceAll(",", " ");
}

type Made = { plot: uPlot; fill: () => void };

function axes(colour: (name: string) => string, left: (value: number) => string, right?: (value: number) => string): uPlot.Axis[] {
  const look = { stroke: colour("soft"), font: "12px system-ui, sans-serif", grid: { stroke: colour("line"), width: 1 }, ticks: { show: false } };
  const values = (say: (value: number) => string) => (_: uPlot, found: number[]) => found.map(say);
  const time: uPlot.Axis = { ...look, grid: { show: false }, space: 80, size: 28, values: (_, found) => found.map((s) => new Date(s * 1000).toTimeString().slice(0, 8)) };
  const list: uPlot.Axis[] = [time, { ...look, size: 52, space: 36, values: values(left) }];
  if (right) list.push({ ...look, scale: "ms", side: 1, size: 60, space: 36, grid: { show: false }, values: values(right) });
  return list;
}

function make(into: HTMLElement, series: uPlot.Series[], axis: uPlot.Axis[], columns: () => (number | null)[][], scales: uPlot.Scales): Made {
  const options: uPlot.Options = {
    width: Math.max(into.clientWidth, 240),
    height: 192,
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false } },
    // Without an axis at the right the last time of day needs its half.
    padding: [8, axis.length > 2 ? 8 : 36, 0, 0],
    scales: { x: { time: true, range: span }, ...scales },
    series: [{}, ...series],
    axes: axis,
  };
  const data = () => [points.map((point) => Date.parse(point.at) / 1000), ...columns()] as uPlot.AlignedData;
  const plot = new uPlot(options, data(), into);
  return { plot, fill: () => plot.setData(data()) };
}

const fromZero = (least: number): uPlot.Scale => ({ range: (_, __, most) => [0, Math.max(least, (most ?? 0) * 1.12)] });

function ordersChart(into: HTMLElement): Made {
  const colour = colours();
  const series: uPlot.Series[] = [
    { label: "orders", stroke: colour("accent"), width: 2, points: { show: false }, fill: faded(colour("accent"), 0.1) },
    { label: "turned down", stroke: colour("warn"), width: 2, dash: [6, 4], points: { show: false } },
  ];
  const columns = () => [points.map((point) => point.orders), points.map((point) => point.turned_down)];
  return make(into, series, axes(colour, figure), columns, { y: fromZero(10) });
}

function queueChart(into: HTMLElement, capacity: () => number): Made {
  const colour = colours();
  const series: uPlot.Series[] = [
    { label: "depth", stroke: colour("accent"), width: 2, points: { show: false }, fill: faded(colour("accent"), 0.16) },
    { label: "80 % of capacity", stroke: colour("bad"), width: 1, dash: [5, 5], points: { show: false } },
    { label: "p99", scale: "ms", stroke: colour("good"), width: 2, points: { show: false }, spanGaps: false },
  ];
  const columns = () => {
    const depths = points.map((point) => point.queue_depth);
    const limit = capacity() * 0.8;
    // The limit is drawn once the queue comes near: otherwise it would flatten the line that matters.
    const isNear = Math.max(0, ...depths) > limit / 4;
    return [depths, points.map(() => (isNear ? limit : null)), points.map((point) => point.p99_ms ?? null)];
  };
  return make(into, series, axes(colour, figure, millis), columns, { y: fromZero(50), ms: fromZero(10) });
}

/** Draws both charts, and again in the other colours and at another width. Returns what brings them up to date, and what ends them. */
export function charts(orders: HTMLElement, queue: HTMLElement, capacity: () => number): { fill: () => void; end: () => void } {
  let made: Made[] = [];
  const draw = () => {
    for (const { plot } of made) plot.destroy();
    made = [ordersChart(orders), queueChart(queue, capacity)];
  };
  draw();
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", draw);
  const sizes = new ResizeObserver(() => {
    for (const { plot } of made) {
      const width = plot.root.parentElement?.clientWidth ?? 0;
      if (width > 0 && width !== plot.width) plot.setSize({ width, height: plot.height });
    }
  });
  sizes.observe(orders);
  sizes.observe(queue);
  return {
    fill: () => made.forEach(({ fill }) => fill()),
    end: () => {
      dark.removeEventListener("change", draw);
      sizes.disconnect();
      for (const { plot } of made) plot.destroy();
    },
  };
}
