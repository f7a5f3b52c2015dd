import { h, milliseconds } from './dom';
import type { Call, Request, Source } from './message';

/** waterfall draws a request: the cache decision for each backend, and each call on a time line. */
export function waterfall(r: Request): HTMLElement {
  const calls = r.calls ?? [], sources = r.sources ?? [];
  const total = Math.max(r.took_ms, ...calls.map((c) => c.after_ms + c.took_ms), 0.001);
  const bar = (from: number, took: number, kind: string) => {
    const e = h('div', { class: `bar ${kind}` });
    e.style.setProperty('left', `${(100 * from) / total}%`);
    e.style.setProperty('width', `max(3px, ${(100 * took) / total}%)`);
    return h('div', { class: 'track', 'aria-hidden': 'true' }, e);
  };
  const line = (label: string, text: string, ...track: (Node | null)[]) =>
    h('li', {}, h('span', { class: 'label' }, label), h('span', { class: 'text' }, text), ...track);
  const lines = [line(r.method ? 'request' : 'refresh', milliseconds(r.took_ms), bar(0, r.took_ms, 'total'))];
  for (const backend of new Set([...sources.map((s) => s.backend), ...calls.map((c) => c.backend)])) {
    const source = sources.find((s) => s.backend === backend);
    if (source) lines.push(line(backend, decision(source)));
    for (const c of calls.filter((c) => c.backend === backend)) {
      lines.push(line(`${backend} ${c.operation}`, outcome(c), bar(c.after_ms, c.took_ms, c.shared ? 'shared' : c.failed ? 'failed' : 'done')));
    }
  }
  if (r.more) lines.push(line('', `and ${r.more} more calls`));
  return h('ol', { class: 'plain waterfall', 'aria-label': 'Calls to backends, on a time line' }, ...lines);
}

const cacheText: Record<string, string> = {
  hit: 'cache hit', stale: 'stale cache hit', miss: 'cache miss', coalesced: 'shared another request’s call', bypass: 'cache bypassed by no-cache',
};

function decision(s: Source): string {
  const parts = [s.cache ? cacheText[s.cache] ?? s.cache : ''];
  if (s.status !== 'ok') parts.push(s.status);
  if (s.code) parts.push(s.code);
  if (s.breaker && s.breaker !== 'closed') parts.push(`breaker ${s.breaker.replace('_', ' ')}`);
  return parts.filter(Boolean).join(' · ') || 'called';
}

function outcome(c: Call): string {
  if (c.shared) return `waited ${milliseconds(c.took_ms)} for the same call of ${c.shared}`;
  const parts = [`after ${milliseconds(c.after_ms)}`, `took ${milliseconds(c.took_ms)}`, c.error || String(c.status ?? '')];
  if (c.error && c.status) parts.push(`status ${c.status}`);
  if (c.resend) parts.push(`attempt ${c.resend + 1}`);
  if (c.breaker && c.breaker !== 'closed') parts.push(`breaker ${c.breaker.replace('_', ' ')}`);
  return parts.filter(Boolean).join(' · ');
}
