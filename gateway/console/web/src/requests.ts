import { clock, find, h, milliseconds } from './dom';
import type { Call, Request, Source, State, View } from './message';
import { asked, troubled } from './store';
import { waterfall } from './waterfall';

/** shown is how many rows there are at most. */
const shown = 100;

/** Row is one request: a line, and what it opens to. */
class Row {
  readonly element: HTMLElement;
  readonly button: HTMLButtonElement;
  private readonly details: HTMLElement;

  constructor(public request: Request) {
    const r = request, id = `request-${r.number}`;
    this.details = h('div', { id, class: 'details', hidden: true });
    this.button = h('button', { type: 'button', 'aria-expanded': 'false', 'aria-controls': id },
      h('time', { datetime: r.at }, clock(r.at)),
      h('span', { class: 'what' }, r.method ? `${r.method} ${r.route || '(no such route)'}` : 'refresh'),
      h('span', { class: `outcome ${tone(r)}` }, outcome(r)),
      h('span', { class: 'took' }, milliseconds(r.took_ms)),
      h('span', { class: 'sources' }, ...(r.sources ?? []).map((s) => h('span', { class: `source ${s.status}` }, `${s.backend} ${s.cache || s.status}`))));
    this.button.addEventListener('click', () => this.toggle());
    this.element = h('li', {}, this.button, this.details);
  }

  get open() {
    return !this.details.hidden;
  }

  /** renew takes what is told of the request once more; false if only another row can. */
  renew(request: Request): boolean {
    if (request.status !== this.request.status || request.at !== this.request.at) return false;
    this.request = request;
    if (this.details.firstChild) this.details.replaceChildren(facts(request), waterfall(request));
    return true;
  }

  toggle() {
    const open = !this.open;
    this.details.hidden = !open;
    this.button.setAttribute('aria-expanded', String(open));
    if (open && !this.details.firstChild) this.details.append(facts(this.request), waterfall(this.request));
  }
}

function outcome(r: Request): string {
  if (!r.method) return (r.sources ?? []).some((s) => s.status !== 'ok') ? 'failed' : 'done';
  return `${r.status}${r.code ? ` ${r.code}` : troubled(r) ? ' not whole' : ''}`;
}

function tone(r: Request): string {
  if (troubled(r) && (r.status ?? 0) >= 400) return 'bad';
  return troubled(r) ? 'warn' : (r.status ?? 0) >= 400 ? 'quiet' : 'good';
}

function facts(r: Request): HTMLElement {
  const fact = (name: string, value: string | undefined) => (value ? h('div', {}, h('dt', {}, name), h('dd', {}, h('code', {}, value))) : null);
  return h('dl', { class: 'facts' },
    fact('Request id', r.request_id), fact('Caused by', r.cause), fact('Trace id', r.trace_id), fact('Key', r.key_id), fact('At', r.at));
}

/** Requests is the list of them. */
export class Requests {
  private readonly rows = new Map<number, Row>();
  private startedAt = '';
  private readonly filter = find<HTMLFormElement>('filter');
  private again = () => {};

  constructor() {
    this.filter.addEventListener('input', () => this.again());
    this.filter.addEventListener('submit', (e) => e.preventDefault());
  }

  show(state: State, v: View) {
    this.again = () => this.show(state, v);
    this.offer(state.backends.map((b) => b.name));
    const wanted = v.requests.filter((r) => this.wants(r)).slice(0, shown);
    const current = new Map(wanted.map((r) => [r.number, r]));
    const list = find('list');
    const anew = this.startedAt !== state.started_at; // another process counts from 1 again
    this.startedAt = state.started_at;
    for (const [number, row] of this.rows) {
      const held = (row.open || row.element.contains(document.activeElement)) && this.wants(row.request);
      const told = current.get(number);
      if (anew || (told ? told !== row.request && !row.renew(told) : !held)) {
        row.element.remove();
        this.rows.delete(number);
      }
    }
    // From the oldest to the newest, so that each new one goes before those that are there.
    for (const r of wanted.toReversed()) {
      if (this.rows.has(r.number)) continue;
      const row = new Row(r);
      this.rows.set(r.number, row);
      const after = [...list.children].find((e) => Number((e as HTMLElement).dataset.number) < r.number);
      row.element.dataset.number = String(r.number);
      list.insertBefore(row.element, after ?? null);
    }
    find('none').replaceChildren(...(this.rows.size ? [] : v.requests.length ? ['None is like that.'] : nothing(state)));
  }

  /** move focuses the next row, or the one before. */
  move(by: 1 | -1) {
    const buttons = [...find('list').querySelectorAll<HTMLButtonElement>(':scope > li > button')];
    const at = buttons.findIndex((b) => b.parentElement?.contains(document.activeElement));
    buttons[at < 0 ? 0 : Math.min(buttons.length - 1, Math.max(0, at + by))]?.focus();
  }

  private wants(r: Request): boolean {
    const f = new FormData(this.filter);
    const which = f.get('which'), backend = String(f.get('backend')), text = String(f.get('text')).trim().toLowerCase();
    if (which === 'asking' && !asked(r)) return false;
    if (which === 'troubled' && !troubled(r)) return false;
    const about: (Call | Source)[] = [...(r.calls ?? []), ...(r.sources ?? [])];
    if (backend && !about.some((x) => x.backend === backend)) return false;
    const words = [r.request_id, r.cause, r.trace_id, r.key_id, r.code, r.route, ...about.map((x) => ('code' in x ? x.code : undefined))];
    return !text || words.some((w) => w?.toLowerCase().includes(text));
  }

  private offer(backends: string[]) {
    const select = this.filter.elements.namedItem('backend') as HTMLSelectElement;
    const there = [...select.options].slice(1).map((o) => o.value);
    if (there.join() === backends.join()) return;
    const chosen = select.value;
    select.replaceChildren(h('option', { value: '' }, 'any'), ...backends.map((b) => h('option', { value: b }, b)));
    select.value = backends.includes(chosen) ? chosen : '';
  }
}

function nothing(state: State): (Node | string)[] {
  return ['No request yet. The API listens on ', h('code', {}, state.listen), ': ',
    h('code', {}, `curl -H "Authorization: Bearer $AGENTGW_KEY" http://${state.listen}/v1/agents`)];
}
