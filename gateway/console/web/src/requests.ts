import { clock, find, h, milliseconds } from './dom';
import type { Call, Request, Source, State, View } from './message';
import { calledBackend, isProblem } from './store';
import { waterfall } from './waterfall';

/** maxRows is how many requests the list shows. */
const maxRows = 100;

/** Row shows a request: a summary that expands to details. */
class Row {
  readonly element: HTMLElement;
  readonly button: HTMLButtonElement;
  private readonly details: HTMLElement;

  constructor(public request: Request) {
    const r = request, id = `request-${r.number}`;
    this.details = h('div', { id, class: 'details', hidden: true });
    this.button = h('button', { type: 'button', 'aria-expanded': 'false', 'aria-controls': id },
      h('time', { datetime: r.at }, clock(r.at)),
      h('span', { class: 'what' }, r.method ? `${r.method} ${r.route || '(unknown route)'}` : 'refresh'),
      h('span', { class: `outcome ${tone(r)}` }, outcome(r)),
      h('span', { class: 'took' }, milliseconds(r.took_ms)),
      h('span', { class: 'sources' }, ...(r.sources ?? []).map((s) => h('span', { class: `source ${s.status}` }, `${s.backend} ${s.cache || s.status}`))));
    this.button.addEventListener('click', () => this.toggle());
    this.element = h('li', {}, this.button, this.details);
  }

  get open() {
    return !this.details.hidden;
  }

  /** update shows a new version of the request. It returns false if the row must be replaced. */
  update(request: Request): boolean {
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
  return `${r.status}${r.code ? ` ${r.code}` : isProblem(r) ? ' partial' : ''}`;
}

function tone(r: Request): string {
  if (isProblem(r) && (r.status ?? 0) >= 400) return 'bad';
  return isProblem(r) ? 'warn' : (r.status ?? 0) >= 400 ? 'quiet' : 'good';
}

function facts(r: Request): HTMLElement {
  const fact = (name: string, value: string | undefined) => (value ? h('div', {}, h('dt', {}, name), h('dd', {}, h('code', {}, value))) : null);
  return h('dl', { class: 'facts' },
    fact('Request id', r.request_id), fact('Caused by', r.cause), fact('Trace id', r.trace_id), fact('Key', r.key_id), fact('Time', r.at));
}

/** Requests shows the list of recent requests. */
export class Requests {
  private readonly rows = new Map<number, Row>();
  private startedAt = '';
  private readonly filter = find<HTMLFormElement>('filter');
  private refresh = () => {};

  constructor() {
    this.filter.addEventListener('input', () => this.refresh());
    this.filter.addEventListener('submit', (e) => e.preventDefault());
  }

  show(state: State, v: View) {
    this.refresh = () => this.show(state, v);
    this.setBackends(state.backends.map((b) => b.name));
    const wanted = v.requests.filter((r) => this.matches(r)).slice(0, maxRows);
    const current = new Map(wanted.map((r) => [r.number, r]));
    const list = find('list');
    const restarted = this.startedAt !== state.started_at; // request numbers start from 1 again
    this.startedAt = state.started_at;
    for (const [number, row] of this.rows) {
      const keep = (row.open || row.element.contains(document.activeElement)) && this.matches(row.request);
      const latest = current.get(number);
      if (restarted || (latest ? latest !== row.request && !row.update(latest) : !keep)) {
        row.element.remove();
        this.rows.delete(number);
      }
    }
    // Oldest first, so that each new row is inserted before the existing ones.
    for (const r of wanted.toReversed()) {
      if (this.rows.has(r.number)) continue;
      const row = new Row(r);
      this.rows.set(r.number, row);
      const after = [...list.children].find((e) => Number((e as HTMLElement).dataset.number) < r.number);
      row.element.dataset.number = String(r.number);
      list.insertBefore(row.element, after ?? null);
    }
    find('none').replaceChildren(...(this.rows.size ? [] : v.requests.length ? ['No request matches the filter.'] : noRequests(state)));
  }

  /** move focuses the next or the previous row. */
  move(by: 1 | -1) {
    const buttons = [...find('list').querySelectorAll<HTMLButtonElement>(':scope > li > button')];
    const at = buttons.findIndex((b) => b.parentElement?.contains(document.activeElement));
    buttons[at < 0 ? 0 : Math.min(buttons.length - 1, Math.max(0, at + by))]?.focus();
  }

  private matches(r: Request): boolean {
    const f = new FormData(this.filter);
    const which = f.get('which'), backend = String(f.get('backend')), text = String(f.get('text')).trim().toLowerCase();
    if (which === 'calling' && !calledBackend(r)) return false;
    if (which === 'problems' && !isProblem(r)) return false;
    const about: (Call | Source)[] = [...(r.calls ?? []), ...(r.sources ?? [])];
    if (backend && !about.some((x) => x.backend === backend)) return false;
    const searchable = [r.request_id, r.cause, r.trace_id, r.key_id, r.code, r.route, ...about.map((x) => ('code' in x ? x.code : undefined))];
    return !text || searchable.some((w) => w?.toLowerCase().includes(text));
  }

  private setBackends(backends: string[]) {
    const select = this.filter.elements.namedItem('backend') as HTMLSelectElement;
    const current = [...select.options].slice(1).map((o) => o.value);
    if (current.join() === backends.join()) return;
    const chosen = select.value;
    select.replaceChildren(h('option', { value: '' }, 'all'), ...backends.map((b) => h('option', { value: b }, b)));
    select.value = backends.includes(chosen) ? chosen : '';
  }
}

function noRequests(state: State): (Node | string)[] {
  return ['No requests yet. The API listens on ', h('code', {}, state.listen), ': ',
    h('code', {}, `curl -H "Authorization: Bearer $AGENTGW_KEY" http://${state.listen}/v1/agents`)];
}
