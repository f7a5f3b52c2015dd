import { Chart } from './charts';
import { bytes, find, h, milliseconds, percent, perSecond } from './dom';
import type { Column, Series, State, View } from './message';

/** sum is of the last steps that are over. */
export function sum(column: Column, steps = 2): number {
  return column.slice(-1 - steps, -1).reduce<number>((all, n) => all + (n ?? 0), 0);
}

/** latest is the last value that there is, of the last steps. */
export function latest(column: Column, steps = 2): number | null {
  return column.slice(-1 - steps).findLast((v) => v !== null) ?? null;
}

/** rate is a column per second, without the step that is not over. */
export const rate = (column: Column, step: number): Column => column.slice(0, -1).map((n) => (n ?? 0) / step);

const over = (column: Column): Column => column.slice(0, -1);

function share(part: Column, of: Column): Column {
  return over(of).map((n, i) => (n ? (100 * (part[i] ?? 0)) / n : null));
}

/** Summary is how the gateway is now, and its traffic. */
export class Summary {
  private readonly outcomes = new Chart('Requests', 'per second, by outcome', [
    { label: 'whole', color: '--good', area: true }, { label: 'not whole', color: '--warn' }, { label: 'refused', color: '--quiet' }, { label: 'failed', color: '--bad' },
  ]);
  private readonly latency = new Chart('Latency', 'ms', [{ label: 'p50', color: '--blue' }, { label: 'p95', color: '--violet' }]);
  private readonly cache = new Chart('From the cache', '% of reads', [{ label: 'from the cache', color: '--blue', area: true }]);

  constructor() {
    find('traffic').append(...this.charts().map((c) => c.element));
  }

  charts() {
    return [this.outcomes, this.latency, this.cache];
  }

  show(state: State, v: View) {
    const g = v.gateway, seconds = 2 * v.step_s;
    const requests = requestsOf(g);
    const tile = (name: string, value: string, title: string, tone = '') =>
      h('div', { title, class: tone }, h('dt', {}, name), h('dd', {}, value));
    find('now').replaceChildren(
      tile('Requests', `${perSecond(requests / seconds)}/s`, 'requests that ended'),
      tile('Failed', percent(sum(g.failed_answers), requests), 'answers with a status from 500 up, and those that a backend’s quota refused', sum(g.failed_answers) ? 'bad' : ''),
      tile('Not whole', percent(sum(g.incomplete_answers), requests), 'lists in which a backend’s part was stale, partial or missing', sum(g.incomplete_answers) ? 'warn' : ''),
      tile('From the cache', percent(sum(g.from_cache), sum(g.reads)), 'of the lists and agents that were asked for'),
      tile('p95', milliseconds(latest(g.p95_ms)), 'of the time that requests took'),
      tile('Running', String(state.in_flight), 'requests that have not ended'),
      tile('Kept', `${state.cache_entries} · ${bytes(state.cache_bytes)}`, 'lists and agents in the cache, and the memory they take'),
    );
    this.outcomes.show(v.start, v.step_s, [g.answers, g.incomplete_answers, g.caller_errors, g.failed_answers].map((c) => rate(c, v.step_s)));
    this.latency.show(v.start, v.step_s, [over(g.p50_ms), over(g.p95_ms)]);
    this.cache.show(v.start, v.step_s, [share(g.from_cache, g.reads)]);
  }
}

const requestsOf = (g: Series) => sum(g.answers) + sum(g.incomplete_answers) + sum(g.caller_errors) + sum(g.failed_answers);
