import { clock, find, h } from './dom';
import type { Event, Incomplete, View } from './message';

const breakerText: Record<string, string> = { closed: 'closed', open: 'opened', half_open: 'is half-open: it lets one probe through' };

function describe(e: Event): string {
  if (e.kind === 'breaker') return `the breaker of ${e.backend} ${breakerText[e.to] ?? e.to}`;
  return e.to === 'ok' ? 'configuration reloaded' : 'configuration reload failed; the current configuration stays in use';
}

/** showChanges lists the causes of incomplete responses, and recent events. */
export function showChanges(v: View) {
  const rows = v.incomplete.map((i: Incomplete) =>
    h('tr', {}, h('td', {}, i.backend), h('td', {}, i.status), h('td', {}, h('code', {}, i.code ?? '')), h('td', { class: 'number' }, i.count)));
  find('incomplete').replaceChildren(rows.length
    ? h('table', {}, h('thead', {}, h('tr', {}, ...['Backend', 'Status', 'Cause', 'Responses'].map((t) => h('th', { scope: 'col' }, t)))), h('tbody', {}, ...rows))
    : h('p', { class: 'quiet' }, 'No incomplete responses.'));
  find('events').replaceChildren(...(v.events.length
    ? v.events.slice(0, 12).map((e) => h('li', { class: e.to === 'open' || e.to === 'error' ? 'bad' : '' }, h('time', { datetime: e.at }, clock(e.at)), ' ', describe(e)))
    : [h('li', { class: 'quiet' }, 'No events since startup.')]));
}
