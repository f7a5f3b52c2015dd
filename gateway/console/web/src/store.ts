import type { Column, Event, Message, Request, Series, State, View } from './message';

/** kept is how many requests of each kind the page remembers. */
const kept = 100;
const keptEvents = 50;

/** asked says whether a request asked a backend, or waited for one that did. */
export const asked = (r: Request) => (r.calls ?? []).length > 0;

/** troubled says whether it failed, or was not whole. */
export const troubled = (r: Request) => !r.whole;

/** Store is what is known: everything that was told, put together. */
export class Store {
  now = new Date(0);
  state: State | undefined;
  view: View | undefined;

  /** replace starts anew. */
  replace(m: Message) {
    this.now = new Date(m.now);
    this.state = m.state;
    this.view = m.journal;
  }

  /** add takes what is new; false if something between is missing. */
  add(m: Message): boolean {
    if (!this.view) return false;
    const news = m.journal;
    const last = (v: View) => v.start / v.step_s + v.gateway.answers.length - 1;
    const shift = last(news) - last(this.view);
    if (shift < 0 || shift >= news.gateway.answers.length) return false;
    const view = this.view;
    const backends: Record<string, Series> = {};
    for (const [name, series] of Object.entries(news.backends)) {
      backends[name] = moved(view.backends[name] ?? nothing(view.gateway), series, shift);
    }
    this.now = new Date(m.now);
    this.state = m.state;
    this.view = {
      ...news,
      start: view.start + shift * view.step_s,
      gateway: moved(view.gateway, news.gateway, shift),
      backends,
      requests: keep(merged(news.requests, view.requests)),
      events: [...news.events, ...view.events].slice(0, keptEvents) as Event[],
    };
    return true;
  }
}

/** merged has each request once, as it was told last, the newest first. */
function merged(news: Request[], old: Request[]): Request[] {
  const told = new Set(news.map((r) => r.number));
  return [...news, ...old.filter((r) => !told.has(r.number))].sort((a, b) => b.number - a.number);
}

function keep(newestFirst: Request[]): Request[] {
  let all = 0, asking = 0, bad = 0;
  return newestFirst.filter((r) => {
    let keep = ++all <= kept;
    if (asked(r)) keep = ++asking <= kept || keep;
    if (troubled(r)) keep = ++bad <= kept || keep;
    return keep;
  });
}

const names: (keyof Series)[] = [
  'answers', 'incomplete_answers', 'caller_errors', 'failed_answers', 'calls', 'failures', 'retries', 'reads', 'from_cache', 'p50_ms', 'p95_ms',
];

function moved(old: Series, news: Series, shift: number): Series {
  const series = {} as Series;
  for (const name of names) {
    const column: Column = [...old[name].slice(shift), ...new Array<null>(shift).fill(null)];
    column.splice(column.length - news[name].length, news[name].length, ...news[name]);
    series[name] = column;
  }
  return series;
}

function nothing(like: Series): Series {
  const series = {} as Series;
  for (const name of names) series[name] = like[name].map(() => (name.endsWith('_ms') ? null : 0));
  return series;
}
