import { Chart } from './charts';
import { bytes, find, h, milliseconds, percent, perSecond } from './dom';
import type { Column, Series, State, View } from './message';

/** sum adds up the last completed steps. */
export function sum(column: Column, steps = 2): number {
  return column.slice(-1 - steps, -1).reduce<number>((all, n) => all + (n ?? 0), 0);
}

/** latest returns the newest value of the last steps, or null. */
export function latest(column: Column, steps = 2): number | null {
  return column.slice(-1 - steps).findLast((v) => v !== null) ?? null;
}

/** rate converts counts to a rate per second, without the current step, which is not complete. */
export const rate = (column: Column, step: number): Column => column.slice(0, -1).map((n) => (n ?? 0) / step);

const completed = (column: Column): Column => column.slice(0, -1);

function share(part: Column, total: Column): Column {
  return completed(total).map((n, i) => (n ? (100 * (part[i] ?? 0)) / n : null));
}

/** Summary shows the current state and the traffic of the gateway. */
export class Summary {
  private readonly outcomes = new Chart('Requests', 'per second, by outcome', [
    { label: 'complete', color: '--good', area: true }, { label: 'partial', color: '--warn' }, { label: 'client error', color: '--quiet' }, { label: 'failed', color: '--bad' },
  ]);
  private readonly latency = new Chart('Latency', 'ms', [{ label: 'p50', color: '--blue' }, { label: 'p95', color: '--violet' }]);
  private readonly cache = new Chart('Cache hits', '% of reads', [{ label: 'cache hits', color: '--blue', area: true }]);

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
      tile('Requests', `${perSecond(requests / seconds)}/s`, 'completed requests'),
      tile('Failed', percent(sum(g.failed_answers), requests), 'responses with a status of 500 or more, and those rejected because of a backend’s quota', sum(g.failed_answers) ? 'bad' : ''),
      tile('Partial', percent(sum(g.incomplete_answers), requests), 'lists in which the data of a backend was stale, partial or missing', sum(g.incomplete_answers) ? 'warn' : ''),
      tile('Cache hits', percent(sum(g.from_cache), sum(g.reads)), 'share of the lists and agents served from the cache'),
      tile('p95', milliseconds(latest(g.p95_ms)), '95th percentile of the request duration'),
      tile('Running', String(state.in_flight), 'requests in progress'),
      tile('Cached', `${state.cache_entries} · ${bytes(state.cache_bytes)}`, 'lists and agents in the cache, and their memory'),
    );
    this.outcomes.show(v.start, v.step_s, [g.answers, g.incomplete_answers, g.caller_errors, g.failed_answers].map((c) => rate(c, v.step_s)));
    this.latency.show(v.start, v.step_s, [completed(g.p50_ms), completed(g.p95_ms)]);
    this.cache.show(v.start, v.step_s, [share(g.from_cache, g.reads)]);
  }
}

const requestsOf = (g: Series) => sum(g.answers) + sum(g.incomplete_answers) + sum(g.caller_errors) + sum(g.failed_answers);
