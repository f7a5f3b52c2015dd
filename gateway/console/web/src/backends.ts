import { Chart } from './charts';
import { ago, find, h, milliseconds, percent, perSecond } from './dom';
import type { Backend, Series, View } from './message';
import { latest, rate, sum } from './summary';

const breakerNames = { closed: 'closed', open: 'open', half_open: 'half-open' };

/** Card shows a backend. */
class Card {
  readonly element: HTMLElement;
  private readonly facts = h('dl', { class: 'facts' });
  private readonly badge = h('span', { class: 'badge' });
  readonly charts = [
    new Chart('Calls', 'per second', [{ label: 'all', color: '--blue', area: true }, { label: 'failed', color: '--bad' }, { label: 'retries', color: '--warn' }]),
    new Chart('Latency', 'ms', [{ label: 'p50', color: '--blue' }, { label: 'p95', color: '--violet' }]),
  ];

  constructor(b: Backend) {
    this.element = h('article', { 'data-backend': b.name, 'aria-label': `Backend ${b.name}` },
      h('h3', {}, b.name, b.provider === b.name ? null : h('small', {}, ` ${b.provider}`), ' ', this.badge),
      this.facts, h('div', { class: 'charts' }, ...this.charts.map((c) => c.element)));
  }

  show(b: Backend, s: Series | undefined, v: View, now: Date) {
    this.element.className = b.breaker === 'closed' ? '' : b.breaker === 'open' ? 'bad' : 'warn';
    this.badge.className = `badge ${b.breaker}`;
    this.badge.textContent = `breaker ${breakerNames[b.breaker]}${b.retry_after_s === null ? '' : `, next probe in ${b.retry_after_s} s`}`;
    const fact = (name: string, ...value: (Node | string)[]) => h('div', {}, h('dt', {}, name), h('dd', {}, ...value));
    const steps = 6, seconds = steps * v.step_s;
    const calls = s ? sum(s.calls, steps) : 0;
    this.facts.replaceChildren(
      fact('Quota left', ...(b.quota ? [quota(b.quota)] : ['no known limit'])),
      fact('Calls', `${perSecond(calls / seconds)}/s, ${percent(s ? sum(s.failures, steps) : 0, calls)} failed`),
      fact('p95', milliseconds(s ? latest(s.p95_ms, steps) : null)),
      fact('Cache hits', s ? percent(sum(s.from_cache, steps), sum(s.reads, steps)) : '–'),
      fact('Last success', ago(b.last_success_at, now)),
      fact('Last error', b.last_error_at ? `${ago(b.last_error_at, now)}: ${breakable(b.last_error_code)}` : 'never'),
      fact('Running', `${b.running} of ${b.max_concurrent}`),
      fact('Credentials', String(b.credentials)),
    );
    const zeros = v.gateway.calls.map(() => 0), unknown = v.gateway.calls.map(() => null);
    const columns = s ? [s.calls, s.failures, s.retries] : [zeros, zeros, zeros];
    this.charts[0]?.show(v.start, v.step_s, columns.map((c) => rate(c, v.step_s)));
    this.charts[1]?.show(v.start, v.step_s, (s ? [s.p50_ms, s.p95_ms] : [unknown, unknown]).map((c) => c.slice(0, -1)));
  }
}

/** breakable lets a line end after the underscores of a code. */
function breakable(code: string): string {
  return code.replaceAll('_', '_\u200b');
}

function quota(q: { remaining: number; limit: number }): HTMLElement {
  const meter = h('meter', { min: '0', max: String(Math.max(1, q.limit)), low: String(q.limit / 5), optimum: String(q.limit), value: String(q.remaining) });
  return h('span', { class: 'quota' }, meter, ` ${q.remaining} of ${q.limit}`);
}

/** Backends shows a card for each backend. */
export class Backends {
  private readonly cards = new Map<string, Card>();

  charts() {
    return [...this.cards.values()].flatMap((c) => c.charts);
  }

  show(backends: Backend[], v: View, now: Date) {
    const names = new Set(backends.map((b) => b.name));
    for (const [name, card] of this.cards) {
      if (!names.has(name)) {
        card.element.remove();
        this.cards.delete(name);
      }
    }
    for (const b of backends) {
      let card = this.cards.get(b.name);
      if (!card) {
        card = new Card(b);
        this.cards.set(b.name, card);
        find('backends').append(card.element);
      }
      card.show(b, v.backends[b.name], v, now);
    }
    if (!backends.length) find('backends').textContent = 'No backends are configured.';
  }
}
