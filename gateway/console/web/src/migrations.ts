import { Chart } from './charts';
import { ago, clock, find, h } from './dom';

// What /console/migrations.json sends: see migrations.go.
interface Message { now: string; available: boolean; states: { state: string; count: number }[]; list: Migration[]; chosen: Chosen | null }
interface Migration { id: string; state: string; source: string; target: string; key_id: string; updated_at: string; severities: Record<Severity, number> }
interface Chosen { id: string; findings: Finding[]; shadow: Shadow | null; trail: Step[] }
interface Finding { path: string; kind: string; severity: Severity }
interface Shadow { percent: number; until: string; start: number; reads: number[]; fields: Record<string, number[]> }
interface Step { at: string; step: string; state: string; key_id: string; detail: string }
type Severity = 'blocking' | 'data_loss' | 'warn' | 'info';

const severities: Severity[] = ['blocking', 'data_loss', 'warn', 'info'];
const words: Record<Severity, string> = { blocking: 'blocking', data_loss: 'lost', warn: 'to be read', info: 'fine' };
const troubled = new Set(['needs_input', 'blocked', 'failed', 'outcome_unknown']);
/** lines is how many fields have a line of their own in a chart. */
const lines = 4;
const colors = ['--bad', '--warn', '--violet', '--good'];
/** every is how often the gateway is asked, in milliseconds. */
const every = 2000;

const form = find<HTMLFormElement>('filter'), list = find<HTMLOListElement>('list');
let message: Message | undefined;
let chosen = '';
let heardAt = 0;
let chart: { of: string; fields: string; chart: Chart } | undefined;
const rows = new Map<string, { item: HTMLLIElement; button: HTMLButtonElement; details: HTMLElement }>();

function status(text: string, kind: 'live' | 'lost' | 'draining') {
  const e = find('status');
  if (e.textContent !== text) e.textContent = text;
  e.className = kind;
  document.body.classList.toggle('lost', kind === 'lost');
}

async function ask() {
  const asked = chosen;
  try {
    const answer = await fetch(`/console/migrations.json${asked ? `?id=${encodeURIComponent(asked)}` : ''}`);
    if (!answer.ok) throw new Error(String(answer.status));
    const told = (await answer.json()) as Message;
    if (asked !== chosen) return; // another one is looked at by now
    message = told;
    heardAt = Date.now();
    status(told.available ? 'live' : 'the store is not available', told.available ? 'live' : 'draining');
    show();
  } catch {
    if (Date.now() - heardAt > 2 * every) status('no word from the gateway; trying again', 'lost');
  }
}

function show() {
  if (!message) return;
  find('now').replaceChildren(...message.states.map(({ state, count }) =>
    h('div', { class: count && troubled.has(state) ? 'warn' : '' }, h('dt', {}, state.replaceAll('_', ' ')), h('dd', {}, count))));
  const select = form.elements.namedItem('state') as HTMLSelectElement;
  if (select.options.length === 1) for (const { state } of message.states) select.append(h('option', { value: state }, state));
  const text = (form.elements.namedItem('text') as HTMLInputElement).value.trim().toLowerCase();
  const wanted = message.list.filter((m) => (!select.value || m.state === select.value) && (!text || `${m.id} ${m.source} ${m.target} ${m.key_id}`.toLowerCase().includes(text)));
  const now = new Date(message.now);
  const items = wanted.map((m) => row(m, now));
  for (const [id, r] of rows) {
    if (!wanted.some((m) => m.id === id)) {
      r.item.remove();
      rows.delete(id);
    }
  }
  items.forEach((item, i) => {
    if (list.children[i] !== item) list.insertBefore(item, list.children[i] ?? null);
  });
  find('none').textContent = wanted.length ? '' : message.list.length ? 'None is like that.' : 'No migration yet: agentgw migrate plan.';
}

/** row is the line of a migration; it stays the same element, so that focus does. */
function row(m: Migration, now: Date): HTMLLIElement {
  let r = rows.get(m.id);
  if (!r) {
    const details = h('div', { class: 'details', id: `details-${m.id}`, hidden: true });
    const button = h('button', { type: 'button', 'aria-controls': details.id });
    button.addEventListener('click', () => {
      chosen = chosen === m.id ? '' : m.id;
      chart = undefined;
      show();
      void ask();
    });
    r = { item: h('li', { 'data-migration': m.id }, button, details), button, details };
    rows.set(m.id, r);
  }
  r.button.setAttribute('aria-expanded', String(chosen === m.id));
  r.button.replaceChildren(
    h('span', { class: 'what' }, h('code', {}, m.source), ' → ', h('code', {}, m.target)),
    h('span', { class: `outcome ${troubled.has(m.state) ? 'warn' : m.state === 'cut_over' ? 'good' : 'quiet'}` }, m.state.replaceAll('_', ' ')),
    h('span', { class: 'sources' }, ...severities.filter((s) => m.severities[s]).map((s) => h('span', { class: `source ${s === 'blocking' ? 'error' : s === 'data_loss' ? 'partial' : ''}` }, `${m.severities[s]} ${words[s]}`))),
    h('span', { class: 'quiet' }, `${m.key_id}, ${ago(m.updated_at, now)}`),
  );
  r.details.hidden = chosen !== m.id;
  if (chosen === m.id && message?.chosen?.id === m.id) showChosen(r.details, message.chosen);
  return r.item;
}

function showChosen(into: HTMLElement, c: Chosen) {
  const findings = h('table', {}, h('caption', {}, 'What becomes of each field'),
    h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, 'severity'), h('th', { scope: 'col' }, 'field'), h('th', { scope: 'col' }, 'becomes'))),
    h('tbody', {}, ...severities.flatMap((s) => c.findings.filter((f) => f.severity === s).map((f) =>
      h('tr', { class: s }, h('td', {}, s.replace('_', ' ')), h('td', {}, h('code', {}, f.path)), h('td', {}, f.kind.replaceAll('_', ' ')))))));
  const trail = h('ol', { class: 'plain trail' }, ...c.trail.map((s) => h('li', {}, h('time', { datetime: s.at }, clock(s.at)), ` ${s.step} → ${s.state.replaceAll('_', ' ')}: ${s.detail} (${s.key_id})`)));
  const parts: Node[] = [findings];
  if (c.shadow) parts.push(shadow(c.id, c.shadow));
  parts.push(h('h3', {}, 'Trail'), trail);
  into.replaceChildren(...parts);
}

/** shadow has what differed, of the fields that did most, minute by minute. */
function shadow(id: string, s: Shadow): HTMLElement {
  const total = (n: number[]) => n.reduce((a, b) => a + b, 0);
  const fields = Object.entries(s.fields).sort(([a, x], [b, y]) => total(y) - total(x) || a.localeCompare(b));
  const most = fields.slice(0, lines);
  const names = most.map(([name]) => name).sort();
  if (!chart || chart.of !== id || chart.fields !== names.join(' ')) {
    chart = { of: id, fields: names.join(' '), chart: new Chart('Differences', 'per minute', [{ label: 'read along', color: '--blue', area: true }, ...names.map((label, i) => ({ label, color: colors[i] ?? '--quiet' }))]) };
  }
  if (s.reads.length) chart.chart.show(s.start, 60, [s.reads, ...names.map((n) => s.fields[n] ?? [])]);
  const differing = fields.length
    ? h('table', {}, h('caption', {}, 'Fields that were not as planned'), h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, 'field'), h('th', { scope: 'col', class: 'number' }, 'times'))),
      h('tbody', {}, ...fields.map(([name, n]) => h('tr', {}, h('td', {}, h('code', {}, name)), h('td', { class: 'number' }, total(n))))))
    : h('p', {}, 'No field differed.');
  return h('div', { class: 'shadow' }, h('h3', {}, 'Shadow ', h('small', {}, `${s.percent} % of reads; ${total(s.reads)} read along. Equal configuration is what this proves; behaviour on a call it does not.`)), s.reads.length ? chart.chart.element : null, differing);
}

form.addEventListener('input', show);
form.addEventListener('submit', (e) => e.preventDefault());
try {
  document.documentElement.dataset.theme = localStorage.getItem('theme') ?? 'auto';
} catch {
  // the browser's own
}
void ask();
setInterval(() => void ask(), every);
