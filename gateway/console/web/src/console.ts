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
const pause = find<HTMLButtonElement>('pause'), theme = find<HTMLButtonElement>('theme'), shortcuts = find<HTMLDialogElement>('shortcuts');
const shortcutsEnabled = find<HTMLInputElement>('shortcuts-enabled');
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

/** status shows whether the page is up to date. */
function status(text: string, kind: 'live' | 'lost' | 'draining' | 'paused') {
  const e = find('status');
  if (e.textContent !== text) e.textContent = text;
  e.className = kind;
  document.body.classList.toggle('lost', kind === 'lost');
}

function update() {
  if (paused) status('paused', 'paused');
  else if (store.state?.draining) status('draining', 'draining');
  else status('live', 'live');
  show();
}

/** lastMessageAt is when the last message arrived. */
let lastMessageAt = Date.now();

/** maxRetryDelay is the longest delay between attempts to connect, in milliseconds. */
const maxRetryDelay = 15_000;

function connect(retryDelay = 1000) {
  const events = new EventSource('/console/events');
  const reconnect = (ms: number) => {
    events.close();
    setTimeout(() => connect(Math.min(2 * ms, maxRetryDelay)), ms);
  };
  const parse = (e: MessageEvent<string>) => {
    lastMessageAt = Date.now();
    return JSON.parse(e.data) as Message;
  };
  events.addEventListener('all', (e) => {
    retryDelay = 1000;
    store.replace(parse(e));
    update();
  });
  events.addEventListener('new', (e) => {
    if (store.add(parse(e))) update();
    else reconnect(0); // an update in between is missing
  });
  events.addEventListener('error', () => {
    if (events.readyState === EventSource.CLOSED) reconnect(retryDelay); // refused: the browser does not retry
  });
}

setInterval(() => {
  if (Date.now() - lastMessageAt <= 3000) return;
  // The text stays the same, so that screen readers announce it once.
  status('disconnected; retrying', 'lost');
  find('about').textContent = `last update ${duration(Math.round((Date.now() - lastMessageAt) / 1000))} ago`;
}, 1000);

/** preferences are stored in the browser, if it allows that. */
const preferences = {
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
      // the preference lasts until the page is closed
    }
  },
};

const themes = ['auto', 'light', 'dark'] as const;
type Theme = (typeof themes)[number];

function setTheme(t: Theme) {
  document.documentElement.dataset.theme = t;
  theme.textContent = `Theme: ${t}`;
  preferences.set('theme', t);
  for (const c of [...summary.charts(), ...backends.charts()]) c.redraw();
}

function nextTheme() {
  const now = themes.indexOf((document.documentElement.dataset.theme ?? 'auto') as Theme);
  setTheme(themes[(now + 1) % themes.length] ?? 'auto');
}

function togglePause() {
  paused = !paused;
  pause.setAttribute('aria-pressed', String(paused));
  pause.textContent = paused ? 'Resume' : 'Pause';
  update();
}

pause.addEventListener('click', togglePause);
theme.addEventListener('click', nextTheme);
find('help').addEventListener('click', () => shortcuts.showModal());
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => setTheme((document.documentElement.dataset.theme ?? 'auto') as Theme));
document.addEventListener('keydown', (e) => {
  const at = e.target as HTMLElement;
  if (!shortcutsEnabled.checked || e.ctrlKey || e.metaKey || e.altKey || shortcuts.open || at.matches('input[type=search], select')) {
    if (e.key === 'Escape' && at.matches('input[type=search]')) at.blur();
    return;
  }
  const actions: Record<string, () => void> = {
    j: () => requests.move(1), k: () => requests.move(-1), p: togglePause, t: nextTheme, '?': () => shortcuts.showModal(),
    '/': () => find('filter').querySelector<HTMLInputElement>('input[type=search]')?.focus(),
  };
  const action = actions[e.key];
  if (action) {
    e.preventDefault();
    action();
  }
});

shortcutsEnabled.checked = preferences.get('shortcuts') !== 'off';
shortcutsEnabled.addEventListener('change', () => preferences.set('shortcuts', shortcutsEnabled.checked ? 'on' : 'off'));
setTheme((themes.find((t) => t === preferences.get('theme')) ?? 'auto'));
connect();
