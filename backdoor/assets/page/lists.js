// The views that are lists: groups, sites, the log.

import { bytes, count, duration, lines, make, write } from './format.js';
import { Table } from './table.js';
import { opener } from './trouble.js';

export const groupColumns = [
  { key: 'name', title: 'Group', look: 'strong' },
  { key: 'coroutines', title: 'Coroutines', kind: 'num', width: '7.5rem', show: row => count(row.coroutines) },
  { key: 'running', title: 'Running', kind: 'num', width: '6.5rem', room: 'wide', show: row => count(row.running) },
  { key: 'ready', title: 'Ready', kind: 'num', width: '6.5rem', room: 'wide', show: row => count(row.ready) },
  { key: 'waiting', title: 'Waiting', kind: 'num', width: '7rem', room: 'wide', show: row => count(row.waiting) },
  { key: 'longest', title: 'Longest wait', kind: 'num', width: '8rem', room: 'wide', show: row => duration(row.longest) },
  { key: 'load', title: 'Load', kind: 'num', width: '6rem', show: row => share(row.load) },
  { key: 'cpu', title: 'Processor', kind: 'num', width: '7rem', room: 'mid', show: row => duration(row.cpu) },
  { key: 'switches', title: 'Switches', kind: 'num', width: '8rem', room: 'wide', show: row => count(row.switches) },
];

/** Of one processor, in per cent; a dash at the first look. */
function share(load) {
  if (load === null || load === undefined) return '–';
  const whole = load * 100;
  return whole > 0 && whole < 0.05 ? '< 0.1 %' : `${whole < 9.95 ? whole.toFixed(1) : whole.toFixed(0)} %`;
}

/** Adds to each group how much of a processor it had since the look before. */
export class Loads {
  add(rows, at) {
    const seconds = at - (this.at ?? at);
    // Another start of the server begins anew.
    const known = seconds > 0 && this.used ? this.used : null;
    for (const row of rows) row.load = known ? Math.max(row.cpu - (known.get(row.name) ?? 0), 0) / seconds : null;
    this.used = new Map(rows.map(row => [row.name, row.cpu]));
    this.at = at;
    return rows;
  }

  /** The view was left: what comes next is compared with what follows it. */
  forget() {
    this.at = this.used = null;
  }
}

export class Groups {
  name = 'groups';
  title = 'Groups';
  loads = new Loads();

  constructor(page) {
    this.table = new Table(groupColumns, {
      key: row => row.name,
      sort: { key: 'coroutines', descending: true },
      open: row => page.show('coroutines', { group: row.name }),
      empty: 'No coroutine lives.',
    });
    this.element = make('section', '', make('p', 'lead', 'Coroutines summed up by name, numbers left out: npc-1 and npc-2 are npc-*. A click shows them one by one.'), this.table.element);
  }

  wants() {
    return { panel: 'groups' };
  }

  update(view) {
    if (view.panel === 'groups') this.table.update(this.loads.add(view.rows, view.at));
  }

  leave() {
    this.loads.forget();
  }
}

export class Sites {
  name = 'sites';
  title = 'Sites';

  constructor() {
    this.table = new Table([
      { key: 'site', title: 'Spawned at', look: 'strong whole' },
      { key: 'coroutines', title: 'Coroutines', kind: 'num', width: '7.5rem', show: row => count(row.coroutines) },
      { key: 'ready', title: 'Ready', kind: 'num', width: '7rem', room: 'wide', show: row => count(row.ready) },
      { key: 'waiting', title: 'Waiting', kind: 'num', width: '7rem', room: 'wide', show: row => count(row.waiting) },
      { key: 'cpu', title: 'Processor', kind: 'num', width: '7rem', show: row => duration(row.cpu) },
      { key: 'switches', title: 'Switches', kind: 'num', width: '8rem', room: 'wide', show: row => count(row.switches) },
      { key: 'stack_max', title: 'Stack, most', kind: 'num', width: '7.5rem', room: 'wide', show: row => bytes(row.stack_max) },
    ], { key: row => row.site, sort: { key: 'coroutines', descending: true }, empty: 'No coroutine lives.' });
    this.element = make('section', '', make('p', 'lead', 'Coroutines summed up by the line that spawned them. The stack is the largest of the first 64 of each.'), this.table.element);
  }

  wants() {
    return { panel: 'sites' };
  }

  update(view) {
    if (view.panel === 'sites') this.table.update(view.rows);
  }
}

const LINES = 2000;

export class Log {
  name = 'log';
  title = 'Log';

  constructor(page) {
    this.page = page;
    this.next = 0;
    this.lines = [];
    this.search = make('input', 'search');
    this.search.type = 'search';
    this.search.placeholder = 'Lines with this in them';
    this.search.setAttribute('aria-label', 'Search the log');
    this.levels = make('select');
    this.levels.setAttribute('aria-label', 'Level');
    for (const [value, text] of [['4', 'all levels'], ['2', 'info and worse'], ['1', 'warnings and errors'], ['0', 'errors']]) {
      const option = make('option', '', text);
      option.value = value;
      this.levels.append(option);
    }
    this.range = make('span', 'range');
    this.list = make('ol', 'log');
    this.empty = make('p', 'empty', 'Loading …');
    this.scroll = make('div', 'scroll', this.list, this.empty);
    this.element = make('section', '', make('div', 'tools', this.search, this.levels, make('span', 'spring'), this.range), this.scroll);
    this.search.addEventListener('input', () => this.filter());
    this.levels.addEventListener('change', () => this.filter());
  }

  wants() {
    return { panel: 'log', after: this.next };
  }

  update(view) {
    // Lines of another start, or what was asked for before: both would come twice.
    if (view.panel !== 'log') return;
    if (view.next < this.next) {
      this.next = 0;
      this.lines.forEach(line => line.element.remove());
      this.lines = [];
    }
    const pinned = this.scroll.scrollTop + this.scroll.clientHeight >= this.scroll.scrollHeight - 8;
    const fresh = view.rows.filter(row => row.number > this.next);
    if (view.lost > 0 && this.lines.length) this.add(gap(view.lost));
    for (const row of fresh) this.add(this.line(row));
    while (this.lines.length > LINES) this.lines.shift().element.remove();
    const more = view.next > this.next;
    this.next = view.next;
    write(this.range, `${count(this.lines.length)} lines${view.complete ? '' : ', of the console only: the program installs no LogTail'}`);
    this.empty.hidden = this.lines.some(line => !line.element.hidden);
    write(this.empty, this.lines.length ? 'No line is like that.' : 'Nothing was logged yet.');
    if (pinned) this.scroll.scrollTop = this.scroll.scrollHeight;
    if (more) this.page.follow(this);
  }

  add(line) {
    line.element.hidden = !this.matches(line);
    this.lines.push(line);
    this.list.append(line.element);
  }

  line(row) {
    const at = new Date(row.at * 1000);
    const time = make('time', '', `${at.toLocaleTimeString('en-GB')}.${String(at.getMilliseconds()).padStart(3, '0')}`);
    time.dateTime = at.toISOString();
    const level = make('span', 'level', row.level.toLowerCase());
    const element = make('li', '', time, level, make('span', 'target', row.target));
    if (row.coroutine) element.append(opener(this.page, row.coroutine));
    element.append(make('span', 'text', lines(row.text)));
    element.dataset.level = row.level;
    return { element, rank: ['ERROR', 'WARN', 'INFO', 'DEBUG', 'TRACE'].indexOf(row.level), text: `${row.target} ${row.text}`.toLowerCase() };
  }

  filter() {
    for (const line of this.lines) line.element.hidden = !this.matches(line);
    this.empty.hidden = this.lines.some(line => !line.element.hidden);
    write(this.empty, 'No line is like that.');
  }

  matches(line) {
    return line.rank <= Number(this.levels.value) && line.text.includes(this.search.value.trim().toLowerCase());
  }
}

function gap(lost) {
  return { element: make('li', 'gap', `${count(lost)} lines came faster than this page took them`), rank: 0, text: '' };
}
