import { h, milliseconds } from './dom';
import type { Call, Request, Source } from './message';

/** waterfall draws what a request did: what was decided about each backend, and each call on one time line. */
export function waterfall(r: Request): HTMLElement {
  const calls = r.calls ?? [], sources = r.sources ?? [];
  const whole = Math.max(r.took_ms, ...calls.map((c) => c.after_ms + c.took_ms), 0.001);
  const bar = (from: number, took: number, kind: string) => {
    const e = h('div', { class: `bar ${kind}` });
    e.style.setProperty('left', `${(100 * from) / whole}%`);
    e.style.setProperty('width', `max(3px, ${(100 * took) / whole}%)`);
    return h('div', { class: 'track', 'aria-hidden': 'true' }, e);
  };
  const line = (label: string, text: string, ...track: (Node | null)[]) =>
    h('li', {}, h('span', { class: 'label' }, label), h('span', { class: 'text' }, text), ...track);
  const lines = [line(r.method ? 'request' : 'refresh', milliseconds(r.took_ms), bar(0, r.took_ms, 'whole'))];
  for (const backend of new Set([...sources.map((s) => s.backend), ...calls.map((c) => c.backend)])) {
    const source = sources.find((s) => s.backend === backend);
    if (source) lines.push(line(backend, decision(source)));
    for (const c of calls.filter((c) => c.backend === backend)) {
      lines.push(line(`${backend} ${c.operation}`, what(c), bar(c.after_ms, c.took_ms, c.shared ? 'shared' : c.failed ? 'failed' : 'done')));
    }
  }
  if (r.more) lines.push(line('', `and ${r.more} more calls`));
  return h('ol', { class: 'plain waterfall', 'aria-label': 'What was asked, on a time line' }, ...lines);
}

const cacheText: Record<string, string> = {
  hit: 'from the cache', stale: 'an older answer from the cache', miss: 'not in the cache', coalesced: 'another request’s answer', bypass: 'past the cache, as the caller asked',
};

function decision(s: Source): string {
  const words = [s.cache ? cacheText[s.cache] ?? s.cache : ''];
  if (s.status !== 'ok') words.push(s.status);
  if (s.code) words.push(s.code);
  if (s.breaker && s.breaker !== 'closed') words.push(`breaker ${s.breaker.replace('_', ' ')}`);
  return words.filter(Boolean).join(' · ') || 'asked';
}

function what(c: Call): string {
  if (c.shared) return `waited ${milliseconds(c.took_ms)} for the same, asked by ${c.shared}`;
  const words = [`after ${milliseconds(c.after_ms)}`, `took ${milliseconds(c.took_ms)}`, c.error || String(c.status ?? '')];
  if (c.error && c.status) words.push(`status ${c.status}`);
  if (c.resend) words.push(`attempt ${c.resend + 1}`);
  if (c.breaker && c.breaker !== 'closed') words.push(`breaker ${c.breaker.replace('_', ' ')}`);
  return words.filter(Boolean).join(' · ');
}
