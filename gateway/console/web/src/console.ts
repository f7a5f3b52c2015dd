import 'uplot/dist/uPlot.min.css';
import './console.css';
import { Backends } from './backends';
import { showChanges } from './changes';
import { duration, find } from './dom';
import type { Message } from './message';
import { Requests } from './requests';
import { Store } from './store';
import { Summary } from './summary';

const store = new Store(), summary = new Summary(), backends = new Backends(), requests = new Requests();
const pause = find<HTMLButtonElement>('pause'), theme = find<HTMLButtonElement>('theme'), keys = find<HTMLDialogElement>('keys');
const shortcuts = find<HTMLInputElement>('shortcuts');
let paused = false;

function show() {
  const { state, view, now } = store;
  if (!state || !view || paused) return;
  find('about').textContent = `${state.version} · up ${duration(Math.round((now.getTime() - Date.parse(state.started_at)) / 1000))} · ${state.keys} ${state.keys === 1 ? 'key' : 'keys'}`;
  summary.show(state, view);
  backends.show(state.backends, view, now);
  showChanges(view);
  requests.show(state, view);
}

/** status says how current the page is: an old number that looks new is worse than none. */
function status(text: string, kind: 'live' | 'lost' | 'draining' | 'paused') {
  const e = find('status');
  if (e.textContent !== text) e.textContent = text;
  e.className = kind;
  document.body.classList.toggle('lost', kind === 'lost');
}

function heard() {
  if (paused) status('paused', 'paused');
  else if (store.state?.draining) status('draining: no new requests', 'draining');
  else status('live', 'live');
  show();
}

/** heardAt is when the gateway last said anything; only what it says changes it. */
let heardAt = Date.now();

/** the longest pause between attempts to connect, in milliseconds. */
const longestPause = 15_000;

function connect(pauseMs = 1000) {
  const events = new EventSource('/console/events');
  const again = (ms: number) => {
    events.close();
    setTimeout(() => connect(Math.min(2 * ms, longestPause)), ms);
  };
  const told = (e: MessageEvent<string>) => {
    heardAt = Date.now();
    return JSON.parse(e.data) as Message;
  };
  events.addEventListener('all', (e) => {
    pauseMs = 1000;
    store.replace(told(e));
    heard();
  });
  events.addEventListener('new', (e) => {
    if (store.add(told(e))) heard();
    else again(0); // something between was lost
  });
  events.addEventListener('error', () => {
    if (events.readyState === EventSource.CLOSED) again(pauseMs); // refused: the browser does not try again
  });
}

setInterval(() => {
  if (Date.now() - heardAt <= 3000) return;
  // The words stay the same, so that they are read out once.
  status('no word from the gateway; trying again', 'lost');
  find('about').textContent = `the last was ${duration(Math.round((Date.now() - heardAt) / 1000))} ago`;
}, 1000);

/** kept is what the browser remembers for this page, where it lets it. */
const kept = {
  get(name: string): string | null {
    try {
      return localStorage.getItem(name);
    } catch {
      return null;
    }
  },
  set(name: string, value: string) {
    try {
      localStorage.setItem(name, value);
    } catch {
      // it is asked again next time
    }
  },
};

const themes = ['auto', 'light', 'dark'] as const;
type Theme = (typeof themes)[number];

function setTheme(t: Theme) {
  document.documentElement.dataset.theme = t;
  theme.textContent = `Theme: ${t}`;
  kept.set('theme', t);
  for (const c of [...summary.charts(), ...backends.charts()]) c.redraw();
}

function nextTheme() {
  const now = themes.indexOf((document.documentElement.dataset.theme ?? 'auto') as Theme);
  setTheme(themes[(now + 1) % themes.length] ?? 'auto');
}

function togglePause() {
  paused = !paused;
  pause.setAttribute('aria-pressed', String(paused));
  pause.textContent = paused ? 'Go on' : 'Pause';
  heard();
}

pause.addEventListener('click', togglePause);
theme.addEventListener('click', nextTheme);
find('help').addEventListener('click', () => keys.showModal());
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => setTheme((document.documentElement.dataset.theme ?? 'auto') as Theme));
document.addEventListener('keydown', (e) => {
  const at = e.target as HTMLElement;
  if (!shortcuts.checked || e.ctrlKey || e.metaKey || e.altKey || keys.open || at.matches('input[type=search], select')) {
    if (e.key === 'Escape' && at.matches('input[type=search]')) at.blur();
    return;
  }
  const actions: Record<string, () => void> = {
    j: () => requests.move(1), k: () => requests.move(-1), p: togglePause, t: nextTheme, '?': () => keys.showModal(),
    '/': () => find('filter').querySelector<HTMLInputElement>('input[type=search]')?.focus(),
  };
  const action = actions[e.key];
  if (action) {
    e.preventDefault();
    action();
  }
});

shortcuts.checked = kept.get('shortcuts') !== 'off';
shortcuts.addEventListener('change', () => kept.set('shortcuts', shortcuts.checked ? 'on' : 'off'));
setTheme((themes.find((t) => t === kept.get('theme')) ?? 'auto'));
connect();
