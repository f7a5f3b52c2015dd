import uPlot from 'uplot';
import type { Column } from './message';
import { h } from './dom';

export interface Line { label: string; color: string; area?: boolean }

/** Chart is a uPlot chart with a title, and a text alternative with the latest values. */
export class Chart {
  readonly element: HTMLElement;
  private readonly canvas = h('div', { class: 'canvas', role: 'img' });
  private plot: uPlot | undefined;
  private data: uPlot.AlignedData = [[]];

  constructor(private readonly title: string, private readonly unit: string, private readonly lines: Line[]) {
    this.element = h('figure', {}, h('figcaption', {}, title, ' ', h('small', {}, unit)), this.canvas);
    new ResizeObserver(() => this.plot?.setSize(this.size())).observe(this.canvas);
  }

  show(start: number, step: number, columns: Column[]) {
    const times = columns[0]?.map((_, i) => start + i * step) ?? [];
    this.data = [times, ...columns] as uPlot.AlignedData;
    if (this.plot) this.plot.setData(this.data);
    else this.draw();
    this.legend();
    const latest = this.lines.map((l, i) => `${l.label} ${format(columns[i]?.at(-1))}`);
    this.canvas.setAttribute('aria-label', `${this.title}, ${this.unit}. Latest: ${latest.join(', ')}`);
  }

  /** redraw applies the colours of the current theme. */
  redraw() {
    this.plot?.destroy();
    this.plot = undefined;
    if (this.data[0].length) this.draw();
    requestAnimationFrame(() => this.legend()); // a new plot resets its legend when it is drawn
  }

  /** legend shows the latest values, unless the pointer selects others. */
  private legend() {
    if (this.plot && (this.plot.cursor.idx ?? null) === null) this.plot.setLegend({ idx: this.data[0].length - 1 });
  }

  private size() {
    return { width: Math.max(200, this.canvas.clientWidth), height: 130 };
  }

  /** Latencies are logarithmic, so that one slow request does not flatten the rest. */
  private logarithmic() {
    return this.unit === 'ms';
  }

  private scale(): uPlot.Scale {
    if (this.logarithmic()) return { distr: 3, range: (_, low, high) => uPlot.rangeLog(low || 0.1, high || 10, 10, true) };
    return { range: (_, low, high) => [Math.min(0, low ?? 0), (high || 1) * 1.1] };
  }

  private draw() {
    const color = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const axis: uPlot.Axis = { stroke: color('--quiet'), grid: { stroke: color('--line'), width: 1 }, ticks: { show: false }, font: '11px system-ui' };
    this.plot = new uPlot({
      ...this.size(),
      series: [
        { label: 'at', value: (_, at) => (at ? new Date(at * 1000).toLocaleTimeString([], { hour12: false }) : '') },
        ...this.lines.map((l): uPlot.Series => ({
          label: l.label, stroke: color(l.color), width: 1.5, points: { show: true, size: 4, fill: color(l.color), filter: isolated }, spanGaps: false,
          ...(l.area ? { fill: color(l.color) + '33' } : {}),
          value: (_, v) => format(v),
        })),
      ],
      axes: [
        { ...axis, space: 60, size: 24, values: (_, at) => at.map((s) => new Date(s * 1000).toLocaleTimeString([], { hour12: false, hour: '2-digit', minute: '2-digit' })) },
        { ...axis, size: 46, values: (_, at) => at.map((v) => (v === null ? '' : format(v))), ...(this.logarithmic() ? { filter: powersOfTen, grid: { ...axis.grid, filter: powersOfTen } } : {}) },
      ],
      scales: { y: this.scale() },
      cursor: { drag: { x: false, y: false } },
      legend: { live: true },
    }, this.data, this.canvas);
  }
}

/** powersOfTen selects the values that get a label and a grid line. */
const powersOfTen: uPlot.Axis.Filter = (_, splits) => splits.map((v) => (Math.abs(Math.log10(v) - Math.round(Math.log10(v))) < 1e-6 ? v : null));

/** isolated selects values without neighbours, which no line would show. */
const isolated: uPlot.Series.Points.Filter = (u, series) => {
  const column = (u.data[series] ?? []) as (number | null | undefined)[];
  const present = (i: number) => (column[i] ?? null) !== null;
  return column.flatMap((_, i) => (present(i) && !present(i - 1) && !present(i + 1) ? [i] : []));
};

function format(v: number | null | undefined): string {
  if (v === null || v === undefined) return '–';
  return v >= 100 ? v.toFixed(0) : String(Number(v.toPrecision(2)));
}
