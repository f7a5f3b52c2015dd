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

function connect() {
  const events = new EventSource('/console/events');
  let last = Date.now();
  const again = () => {
    clearInterval(watch);
    events.close();
    connect();
  };
  const told = (e: MessageEvent<string>) => {
    last = Date.now();
    return JSON.parse(e.data) as Message;
  };
  events.addEventListener('all', (e) => {
    store.replace(told(e));
    heard();
  });
  events.addEventListener('new', (e) => {
    if (store.add(told(e))) heard();
    else again(); // something between was lost
  });
  const watch = setInterval(() => {
    const silent = Math.round((Date.now() - last) / 1000);
    if (silent > 3) status(`no word for ${silent} s; trying again`, 'lost');
    if (events.readyState === EventSource.CLOSED || silent > 15) again();
  }, 1000);
}

const themes = ['auto', 'light', 'dark'] as const;
type Theme = (typeof themes)[number];

function setTheme(t: Theme) {
  document.documentElement.dataset.theme = t;
  theme.textContent = `Theme: ${t}`;
  localStorage.setItem('theme', t);
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
  if (e.ctrlKey || e.metaKey || e.altKey || keys.open || at.matches('input[type=search], select')) {
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

setTheme((themes.find((t) => t === localStorage.getItem('theme')) ?? 'auto'));
connect();
