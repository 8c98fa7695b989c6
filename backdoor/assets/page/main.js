// The frame of the page: its views, its head, its keys.

import { bytes, count, duration, make, write } from './format.js';
import { Link } from './link.js';
import { Overview } from './overview.js';
import { Coroutines } from './coroutines.js';
import { Groups, Log, Sites } from './lists.js';
import { Trouble } from './trouble.js';
import { Detail } from './detail.js';
import { Values, View } from './answers.js';
import { Console } from './terminal.js';
import { Profiler } from './profiler.js';

const $ = id => document.getElementById(id);
const link = new Link();

/** What the views may do to each other. */
const page = {
  link,
  may: right => link.me?.rights.includes(right) ?? false,
  open: id => go(current.name, id),
  show: (name, ...options) => {
    go(name, null);
    current.with?.(...options);
  },
  changed: view => view === current && look(),
  follow: view => view === current && link.follow({ ...current.wants(), open }),
  say: toast,
  duration, count, bytes,
};

const overview = new Overview(page);
const trouble = new Trouble(page);
trouble.addEventListener('count', () => overview.alarmed(trouble.summary, trouble.fresh));
const views = [overview, new Coroutines(page), new Groups(page), new Sites(page), trouble, new Log(page)];
const detail = new Detail(page);
let current = null;
let open = null;

views.forEach(add);

function add(view) {
  const tab = make('button', 'tab', view.title);
  tab.id = `tab-${view.name}`;
  tab.setAttribute('role', 'tab');
  tab.setAttribute('aria-controls', 'main');
  tab.setAttribute('aria-selected', false);
  tab.tabIndex = -1;
  tab.addEventListener('click', () => go(view.name, open));
  view.tab = tab;
  view.element.hidden = true;
  $('tabs').append(tab);
  $('main').append(view.element);
}

/** Shows a view, and a coroutine beside it or none. The address says both. */
function go(name, id) {
  const hash = id === null ? `#${name}` : `#${name}/${id}`;
  if (location.hash !== hash) location.hash = hash;
  // The event comes later, and changes nothing then.
  route();
}

function route() {
  const [name, id] = location.hash.slice(1).split('/');
  const next = views.find(view => view.name === name) ?? views[0];
  open = /^\d+$/.test(id ?? '') ? Number(id) : null;
  if (next !== current) {
    if (current) current.element.hidden = true;
    current?.leave?.();
    next.element.hidden = false;
    current = next;
    for (const view of views) {
      view.tab.setAttribute('aria-selected', view === current);
      view.tab.tabIndex = view === current ? 0 : -1;
    }
    current.tab.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    $('main').scrollTop = 0;
  }
  detail.show(open);
  current.enter?.();
  look();
}

function look() {
  link.look({ ...current.wants(), open }, current.goesOn);
}

link.addEventListener('me', () => {
  trouble.begin(link.me.started);
  document.title = `${link.me.application} · Grapeshot`;
  write($('application'), link.me.application);
  const { user } = link.me;
  $('user').hidden = $('leave').hidden = !user;
  write($('user'), user ?? '');
  if (views.some(view => view.name === 'values')) return;
  // What there is besides depends on the application and on what this visitor may do.
  const more = [new Values(page, link.me.exposed), ...link.me.views.map(one => new View(page, one)), new Profiler(page), new Console(page)];
  views.push(...more);
  more.forEach(add);
  route();
});

let last = null;
link.addEventListener('snapshot', ({ detail: snapshot }) => {
  const { figures, view, answers, shows } = snapshot;
  if (shows.figures) {
    const seconds = last ? figures.uptime - last.uptime : 0;
    // Another start of the server begins anew.
    const before = seconds > 0 ? last : null;
    last = figures;
    write($('facts'), `pid ${link.me.pid} · up ${duration(figures.uptime)}`);
    write($('cost'), snapshot.pause > link.me.pause ? `a look takes ${duration(snapshot.took)}, so it refreshes every ${duration(snapshot.pause)}` : '');
    for (const one of views) one.figures?.(figures, before, seconds);
    if (snapshot.trouble) trouble.count(snapshot.trouble);
  }
  if (view && shows.view) current.update(view);
  if (snapshot.detail?.id === open && shows.detail) detail.update(snapshot.detail);
  for (const answer of answers) {
    if (answer.text) toast(answer.text, !answer.done);
    if (answer.stuck) trouble.found(answer.stuck);
    if (answer.kill === open) link.refresh();
  }
});

link.addEventListener('state', () => {
  const { state } = link;
  const pill = $('link');
  pill.dataset.state = link.paused ? 'paused' : state;
  write(pill, link.paused ? 'paused' : { connecting: 'connecting', live: 'live', away: 'offline', unknown: 'offline' }[state]);
  document.body.classList.toggle('stale', state === 'away' || state === 'unknown');
  const seconds = Math.round((Date.now() - link.since) / 1000);
  const gone = seconds < 60 ? `${seconds} s` : duration(seconds);
  const notice = {
    away: `The server has not answered for ${gone}. What you see is from before; this page tries again by itself.`,
    unknown: 'The server does not know this page any more: it was started anew, with a new token. Open the address that it printed.',
  }[state];
  $('notice').hidden = !notice;
  // Who came by name is asked for it again.
  if (state === 'unknown' && link.me?.user) location.reload();
  write($('notice'), notice ?? '');
});

let vanish = null;
function toast(text, bad = false) {
  const element = $('toast');
  write(element, text);
  element.classList.toggle('bad', bad);
  element.hidden = false;
  clearTimeout(vanish);
  vanish = setTimeout(() => { element.hidden = true; }, 6000);
}

function pause() {
  link.hold(!link.paused);
  $('pause').setAttribute('aria-pressed', link.paused);
  write($('pause'), link.paused ? 'Go on' : 'Pause');
  link.dispatchEvent(new Event('state'));
}

const dark = matchMedia('(prefers-color-scheme: dark)');
function theme(change) {
  const chosen = localStorage.getItem('theme');
  let now = chosen ?? (dark.matches ? 'dark' : 'light');
  if (change) {
    now = now === 'dark' ? 'light' : 'dark';
    localStorage.setItem('theme', now);
  }
  document.documentElement.dataset.theme = now;
  write($('theme'), now === 'dark' ? 'Light' : 'Dark');
}
dark.addEventListener('change', () => theme(false));

const keys = [
  ['1 … 9', 'the first nine views; ← → on a tab lead to all'],
  ['/', 'search'],
  ['j k ↓ ↑', 'move in a table'],
  ['Enter', 'open the chosen row'],
  ['x', 'kill the open coroutine, after a question'],
  ['Esc', 'close what is open'],
  ['p', 'stop and go on refreshing'],
  ['t', 'light or dark'],
  ['?', 'this list'],
];
for (const [key, what] of keys) $('key-list').append(make('dt', '', key), make('dd', '', what));

addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
  const typing = event.target.closest('input, textarea, select, .xterm');
  if (event.key === 'Escape') {
    if (typing) {
      // A browser would empty the search.
      event.preventDefault();
      event.target.blur();
    } else if (open !== null) go(current.name, null);
    return;
  }
  if (typing) return;
  const view = views[Number(event.key) - 1];
  if (view) go(view.name, open);
  else if (event.key === '/') focusSearch(event);
  else if (event.key === 'p') pause();
  else if (event.key === 't') theme(true);
  else if (event.key === '?') $('keys').showModal();
  else if (event.key === 'x' && open !== null) detail.kill();
  else if (['j', 'k', 'ArrowDown', 'ArrowUp', 'Enter'].includes(event.key) && !event.target.closest('table, button, a, [role=tab]')) {
    const table = current.table?.table;
    if (table) {
      table.focus({ preventScroll: true });
      current.table.key(event);
    }
  }
});

function focusSearch(event) {
  event.preventDefault();
  if (!current.search) go('coroutines', open);
  // The view may have to be shown first.
  setTimeout(() => current.search?.focus());
}

$('tabs').addEventListener('keydown', event => {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const next = views[(views.indexOf(current) + step + views.length) % views.length];
  go(next.name, open);
  next.tab.focus();
});
$('pause').addEventListener('click', pause);
$('leave').addEventListener('click', async () => {
  await fetch('/logout', { method: 'POST' });
  location.reload();
});
$('theme').addEventListener('click', () => theme(true));
$('help').addEventListener('click', () => $('keys').showModal());
addEventListener('hashchange', route);

theme(false);
// The token has done its work, and should be in nobody's history.
if (location.search) history.replaceState(null, '', location.pathname + location.hash);
route();
link.start();
