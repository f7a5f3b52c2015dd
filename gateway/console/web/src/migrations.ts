import { Chart } from './charts';
import { ago, clock, find, h } from './dom';

// The response of /console/migrations.json: see migrations.go.
interface Message { now: string; available: boolean; states: { state: string; count: number }[]; list: Migration[]; chosen: Chosen | null }
interface Migration { id: string; state: string; name: string; source: string; target: string; key_id: string; updated_at: string; severities: Record<Severity, number> }
interface Chosen { id: string; findings: Finding[]; shadow: Shadow | null; trail: Step[] }
interface Finding { path: string; kind: string; severity: Severity }
interface Shadow { percent: number; until: string; start: number; reads: number[]; fields: Record<string, number[]> }
interface Step { at: string; step: string; state: string; key_id: string; detail: string }
type Severity = 'blocking' | 'data_loss' | 'warn' | 'info';

const severities: Severity[] = ['blocking', 'data_loss', 'warn', 'info'];
const severityLabels: Record<Severity, string> = { blocking: 'blocking', data_loss: 'lost', warn: 'to review', info: 'OK' };
const needsAttention = new Set(['needs_input', 'blocked', 'failed', 'outcome_unknown', 'drifted']);
/** maxLines is how many fields the chart shows. */
const maxLines = 4;
const colors = ['--bad', '--warn', '--violet', '--good'];
/** interval is the time between two polls, in milliseconds. */
const interval = 2000;

const form = find<HTMLFormElement>('filter'), list = find<HTMLOListElement>('list');
let message: Message | undefined;
let chosen = '';
let lastMessageAt = 0;
let chart: { migration: string; fields: string; chart: Chart } | undefined;
const rows = new Map<string, { item: HTMLLIElement; button: HTMLButtonElement; details: HTMLElement }>();

function status(text: string, kind: 'live' | 'lost' | 'draining') {
  const e = find('status');
  if (e.textContent !== text) e.textContent = text;
  e.className = kind;
  document.body.classList.toggle('lost', kind === 'lost');
}

async function poll() {
  const requested = chosen;
  try {
    const response = await fetch(`/console/migrations.json${requested ? `?id=${encodeURIComponent(requested)}` : ''}`);
    if (!response.ok) throw new Error(String(response.status));
    const next = (await response.json()) as Message;
    if (requested !== chosen) return; // another migration was opened meanwhile
    message = next;
    lastMessageAt = Date.now();
    status(next.available ? 'live' : 'store unavailable', next.available ? 'live' : 'draining');
    show();
  } catch {
    if (Date.now() - lastMessageAt > 2 * interval) status('disconnected; retrying', 'lost');
  }
}

function show() {
  if (!message) return;
  find('now').replaceChildren(...message.states.map(({ state, count }) =>
    h('div', { class: count && needsAttention.has(state) ? 'warn' : '' }, h('dt', {}, state.replaceAll('_', ' ')), h('dd', {}, count))));
  const select = form.elements.namedItem('state') as HTMLSelectElement;
  if (select.options.length === 1) for (const { state } of message.states) select.append(h('option', { value: state }, state));
  const text = (form.elements.namedItem('text') as HTMLInputElement).value.trim().toLowerCase();
  const matching = message.list.filter((m) => (!select.value || m.state === select.value) && (!text || `${m.id} ${m.name} ${m.source} ${m.target} ${m.key_id}`.toLowerCase().includes(text)));
  const now = new Date(message.now);
  const items = matching.map((m) => row(m, now));
  for (const [id, r] of rows) {
    if (!matching.some((m) => m.id === id)) {
      r.item.remove();
      rows.delete(id);
    }
  }
  items.forEach((item, i) => {
    if (list.children[i] !== item) list.insertBefore(item, list.children[i] ?? null);
  });
  find('none').textContent = matching.length ? '' : message.list.length ? 'No migration matches the filter.' : 'No migrations yet. Create one with agentgw migrate plan.';
}

/** row returns the row of a migration. The element is reused, so that it keeps the focus. */
function row(m: Migration, now: Date): HTMLLIElement {
  let r = rows.get(m.id);
  if (!r) {
    const details = h('div', { class: 'details', id: `details-${m.id}`, hidden: true });
    const button = h('button', { type: 'button', 'aria-controls': details.id });
    button.addEventListener('click', () => {
      chosen = chosen === m.id ? '' : m.id;
      chart = undefined;
      show();
      void poll();
    });
    r = { item: h('li', { 'data-migration': m.id }, button, details), button, details };
    rows.set(m.id, r);
  }
  r.button.setAttribute('aria-expanded', String(chosen === m.id));
  r.button.replaceChildren(
    h('span', { class: 'what' }, m.name ? `${m.name} ` : '', h('small', {}, h('code', {}, m.source), ' → ', h('code', {}, m.target))),
    h('span', { class: `outcome ${needsAttention.has(m.state) ? 'warn' : m.state === 'cut_over' ? 'good' : 'quiet'}` }, m.state.replaceAll('_', ' ')),
    h('span', { class: 'sources' }, ...severities.filter((s) => m.severities[s]).map((s) => h('span', { class: `source ${s === 'blocking' ? 'error' : s === 'data_loss' ? 'partial' : ''}` }, `${m.severities[s]} ${severityLabels[s]}`))),
    h('span', { class: 'quiet' }, `${m.key_id}, ${ago(m.updated_at, now)}`),
  );
  r.details.hidden = chosen !== m.id;
  if (chosen === m.id && message?.chosen?.id === m.id) showChosen(r.details, message.chosen);
  return r.item;
}

function showChosen(into: HTMLElement, c: Chosen) {
  const findings = h('table', {}, h('caption', {}, 'Findings by field'),
    h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, 'severity'), h('th', { scope: 'col' }, 'field'), h('th', { scope: 'col' }, 'kind'))),
    h('tbody', {}, ...severities.flatMap((s) => c.findings.filter((f) => f.severity === s).map((f) =>
      h('tr', { class: s }, h('td', {}, s.replace('_', ' ')), h('td', {}, h('code', {}, f.path)), h('td', {}, f.kind.replaceAll('_', ' ')))))));
  const trail = h('ol', { class: 'plain trail' }, ...c.trail.map((s) => h('li', {}, h('time', { datetime: s.at }, clock(s.at)), ` ${s.step} → ${s.state.replaceAll('_', ' ')}: ${s.detail} (${s.key_id})`)));
  const parts: Node[] = [findings];
  if (c.shadow) parts.push(shadow(c.id, c.shadow));
  parts.push(h('h3', {}, 'Audit log'), trail);
  into.replaceChildren(...parts);
}

/** shadow charts the fields that differed most, minute by minute. */
function shadow(id: string, s: Shadow): HTMLElement {
  const total = (n: number[]) => n.reduce((a, b) => a + b, 0);
  const fields = Object.entries(s.fields).sort(([a, x], [b, y]) => total(y) - total(x) || a.localeCompare(b));
  const shown = fields.slice(0, maxLines);
  const names = shown.map(([name]) => name).sort();
  if (!chart || chart.migration !== id || chart.fields !== names.join(' ')) {
    chart = { migration: id, fields: names.join(' '), chart: new Chart('Differences', 'per minute', [{ label: 'shadow reads', color: '--blue', area: true }, ...names.map((label, i) => ({ label, color: colors[i] ?? '--quiet' }))]) };
  }
  if (s.reads.length) chart.chart.show(s.start, 60, [s.reads, ...names.map((n) => s.fields[n] ?? [])]);
  const differing = fields.length
    ? h('table', {}, h('caption', {}, 'Fields that differ from the plan'), h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, 'field'), h('th', { scope: 'col', class: 'number' }, 'reads'))),
      h('tbody', {}, ...fields.map(([name, n]) => h('tr', {}, h('td', {}, h('code', {}, name)), h('td', { class: 'number' }, total(n))))))
    : h('p', {}, 'No differences.');
  return h('div', { class: 'shadow' }, h('h3', {}, 'Shadow ', h('small', {}, `${s.percent} % of reads; ${total(s.reads)} shadow reads. They prove equal configuration, not equal behaviour on a call.`)), s.reads.length ? chart.chart.element : null, differing);
}

form.addEventListener('input', show);
form.addEventListener('submit', (e) => e.preventDefault());
try {
  document.documentElement.dataset.theme = localStorage.getItem('theme') ?? 'auto';
} catch {
  // use the theme of the browser
}
void poll();
setInterval(() => void poll(), interval);
