import { clock, find, h } from './dom';
import type { Event, Incomplete, View } from './message';

const breakerText: Record<string, string> = { closed: 'closed', open: 'opened', half_open: 'lets one request through' };

function text(e: Event): string {
  if (e.kind === 'breaker') return `the breaker of ${e.backend} ${breakerText[e.to] ?? e.to}`;
  return e.to === 'ok' ? 'the configuration was reloaded' : 'a new configuration was refused; the old one goes on';
}

/** showChanges lists what was missing, and what changed. */
export function showChanges(v: View) {
  const rows = v.incomplete.map((i: Incomplete) =>
    h('tr', {}, h('td', {}, i.backend), h('td', {}, i.status), h('td', {}, h('code', {}, i.code ?? '')), h('td', { class: 'number' }, i.count)));
  find('incomplete').replaceChildren(rows.length
    ? h('table', {}, h('thead', {}, h('tr', {}, ...['Backend', 'Its part was', 'Why', 'Times'].map((t) => h('th', { scope: 'col' }, t)))), h('tbody', {}, ...rows))
    : h('p', { class: 'quiet' }, 'Every answer was whole.'));
  find('events').replaceChildren(...(v.events.length
    ? v.events.slice(0, 12).map((e) => h('li', { class: e.to === 'open' || e.to === 'error' ? 'bad' : '' }, h('time', { datetime: e.at }, clock(e.at)), ' ', text(e)))
    : [h('li', { class: 'quiet' }, 'Nothing since the start.')]));
}
