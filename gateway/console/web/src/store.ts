import type { Column, Event, Message, Request, Series, State, View } from './message';

/** maxRequests is how many requests of each kind the page keeps. */
const maxRequests = 100;
const maxEvents = 50;

/** calledBackend reports whether a request called a backend, or shared the call of another request. */
export const calledBackend = (r: Request) => (r.calls ?? []).length > 0;

/** isProblem reports whether a request failed or its response was incomplete. */
export const isProblem = (r: Request) => !r.whole;

/** Store merges the messages of the gateway. */
export class Store {
  now = new Date(0);
  state: State | undefined;
  view: View | undefined;

  /** replace discards everything and starts from a full message. */
  replace(m: Message) {
    this.now = new Date(m.now);
    this.state = m.state;
    this.view = m.journal;
  }

  /** add merges an update. It returns false if an update in between is missing. */
  add(m: Message): boolean {
    if (!this.view) return false;
    const update = m.journal;
    const last = (v: View) => v.start / v.step_s + v.gateway.answers.length - 1;
    const shift = last(update) - last(this.view);
    if (shift < 0 || shift >= update.gateway.answers.length) return false;
    const view = this.view;
    const backends: Record<string, Series> = {};
    for (const [name, series] of Object.entries(update.backends)) {
      backends[name] = shifted(view.backends[name] ?? empty(view.gateway), series, shift);
    }
    this.now = new Date(m.now);
    this.state = m.state;
    this.view = {
      ...update,
      start: view.start + shift * view.step_s,
      gateway: shifted(view.gateway, update.gateway, shift),
      backends,
      requests: newest(merged(update.requests, view.requests)),
      events: [...update.events, ...view.events].slice(0, maxEvents) as Event[],
    };
    return true;
  }
}

/** merged returns each request once, in its latest version, newest first. */
function merged(update: Request[], old: Request[]): Request[] {
  const updated = new Set(update.map((r) => r.number));
  return [...update, ...old.filter((r) => !updated.has(r.number))].sort((a, b) => b.number - a.number);
}

/** newest keeps the newest requests, the newest that called a backend, and the newest problems. */
function newest(newestFirst: Request[]): Request[] {
  let all = 0, calling = 0, problems = 0;
  return newestFirst.filter((r) => {
    let keep = ++all <= maxRequests;
    if (calledBackend(r)) keep = ++calling <= maxRequests || keep;
    if (isProblem(r)) keep = ++problems <= maxRequests || keep;
    return keep;
  });
}

const names: (keyof Series)[] = [
  'answers', 'incomplete_answers', 'caller_errors', 'failed_answers', 'calls', 'failures', 'retries', 'reads', 'from_cache', 'p50_ms', 'p95_ms',
];

/** shifted moves the columns by shift steps and overwrites their end with the update. */
function shifted(old: Series, update: Series, shift: number): Series {
  const series = {} as Series;
  for (const name of names) {
    const column: Column = [...old[name].slice(shift), ...new Array<null>(shift).fill(null)];
    column.splice(column.length - update[name].length, update[name].length, ...update[name]);
    series[name] = column;
  }
  return series;
}

function empty(like: Series): Series {
  const series = {} as Series;
  for (const name of names) series[name] = like[name].map(() => (name.endsWith('_ms') ? null : 0));
  return series;
}
