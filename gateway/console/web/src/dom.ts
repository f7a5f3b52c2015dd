type Child = Node | string | number | null | undefined | false;

/** h creates an element. Strings become text nodes, never HTML. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K, attributes: Record<string, string | boolean> = {}, ...children: Child[]
): HTMLElementTagNameMap[K] {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false) e.setAttribute(name, value === true ? '' : value);
  }
  for (const c of children) {
    if (c !== null && c !== undefined && c !== false) e.append(typeof c === 'number' ? String(c) : c);
  }
  return e;
}

/** find returns the element with an id. */
export function find<T extends HTMLElement = HTMLElement>(id: string): T {
  const e = document.getElementById(id);
  if (!e) throw new Error(`the page has no #${id}`);
  return e as T;
}

export const milliseconds = (ms: number | null | undefined) => {
  if (ms === null || ms === undefined) return '–';
  if (ms >= 10_000) return `${(ms / 1000).toFixed(0)} s`;
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)} s`;
  return ms >= 10 ? `${ms.toFixed(0)} ms` : `${ms.toFixed(1)} ms`;
};

export const percent = (part: number, total: number) => (total > 0 ? `${((100 * part) / total).toFixed(part && part / total < 0.1 ? 1 : 0)} %` : '–');

export const perSecond = (n: number) => (n >= 100 ? n.toFixed(0) : n.toFixed(1));

export function bytes(n: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  let unit = 0;
  for (; n >= 1024 && unit < units.length - 1; unit++) n /= 1024;
  return `${n.toFixed(unit ? 1 : 0)} ${units[unit]}`;
}

export const clock = (at: string) => new Date(at).toLocaleTimeString([], { hour12: false });

export function ago(at: string | null, now: Date): string {
  if (!at) return 'never';
  const s = Math.max(0, Math.round((now.getTime() - new Date(at).getTime()) / 1000));
  return s < 2 ? 'now' : `${duration(s)} ago`;
}

export function duration(s: number): string {
  if (s < 90) return `${s} s`;
  if (s < 90 * 60) return `${Math.round(s / 60)} min`;
  if (s < 36 * 3600) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} d`;
}
