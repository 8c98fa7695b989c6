// What is wrong: deadlocks, lints and stalls as they are now, and who does not go on, when asked.

import { count, duration, make, write } from './format.js';
import { Table } from './table.js';

/** Waits that are long enough to be looked at, in seconds. */
const LONG = [['10', '10 s'], ['1', '1 s'], ['60', '1 min'], ['600', '10 min']];

/** A coroutine, as a button that opens it. */
export function opener(page, id, name) {
  const button = make('button', 'link', name ?? `#${id}`);
  button.addEventListener('click', () => page.open(id));
  return button;
}

/** What has been looked at, of this start of the server; kept by the browser. */
class Seen {
  begin(start) {
    const kept = JSON.parse(localStorage.getItem('seen-trouble') ?? 'null');
    this.start = start;
    this.keys = new Set(kept?.start === start ? kept.keys : []);
  }

  has(key) {
    return this.keys?.has(key) ?? false;
  }

  add(keys) {
    if (!this.keys || keys.every(key => this.keys.has(key))) return;
    keys.forEach(key => this.keys.add(key));
    this.keep();
  }

  /** Forgets what is gone: should it come again, it is new. */
  keepOnly(keys) {
    const gone = [...(this.keys ?? [])].filter(key => !keys.has(key));
    gone.forEach(key => this.keys.delete(key));
    if (gone.length) this.keep();
  }

  keep() {
    localStorage.setItem('seen-trouble', JSON.stringify({ start: this.start, keys: [...this.keys] }));
  }
}

/** The function, and the line in it. */
const where = ({ place, at }) => [place, at].filter(Boolean).join(', ');

/** Says that somebody has not looked at it before. */
function mark() {
  const badge = make('b', 'badge new', 'new');
  badge.hidden = true;
  return badge;
}

/** Lints, each in its own line as long as it is there: what has the focus keeps it. */
class Lints {
  constructor(page) {
    this.page = page;
    this.lines = new Map();
    this.list = make('ol', 'findings');
    this.element = make('div', 'lints', make('h2', '', 'Lints ', make('small', '', 'what the program had better not do, and what to do instead')), this.list);
    this.element.hidden = true;
  }

  update(lints, isFresh) {
    this.element.hidden = !lints.length;
    const gone = new Set(this.lines.keys());
    lints.forEach((lint, at) => {
      const { key } = lint;
      gone.delete(key);
      if (!this.lines.has(key)) this.lines.set(key, this.line());
      const line = this.lines.get(key);
      if (this.list.children[at] !== line.element) this.list.insertBefore(line.element, this.list.children[at] ?? null);
      line.id = lint.id;
      line.fresh.hidden = !isFresh(key);
      write(line.kind, lint.lint);
      write(line.name, `${lint.name} #${lint.id}`);
      write(line.place, lint.place);
      write(line.ago, `${lint.ago < 60 ? `${Math.floor(lint.ago)} s` : duration(lint.ago)} ago${lint.times > 1 ? `, the latest of ${count(lint.times)}` : ''}`);
      write(line.what, lint.what);
      write(line.remedy, lint.remedy);
    });
    for (const key of gone) {
      this.lines.get(key).element.remove();
      this.lines.delete(key);
    }
  }

  line() {
    const line = { fresh: mark(), kind: make('b', 'badge warm'), name: make('button', 'link'), place: make('code'), ago: make('span', 'ago'), what: make('p'), remedy: make('p', 'remedy') };
    line.name.addEventListener('click', () => this.page.open(line.id));
    line.element = make('li', '', make('div', 'head', line.fresh, line.kind, line.name, line.place, line.ago), line.what, line.remedy);
    return line;
  }
}

/** Who does not go on. To find that out costs the server something, so it is asked for by a button, and never by itself. */
class Search {
  constructor(page) {
    this.page = page;
    this.long = make('select');
    this.long.id = 'stuck-seconds';
    for (const [value, text] of LONG) {
      const option = make('option', '', text);
      option.value = value;
      this.long.append(option);
    }
    this.button = make('button', 'strong-button', 'Search');
    this.button.id = 'stuck-search';
    this.facts = make('span', 'range');
    this.facts.setAttribute('role', 'status');
    this.form = make('form', 'tools', make('label', '', 'Waits of at least ', this.long), this.button, this.facts);
    this.form.addEventListener('submit', event => {
      event.preventDefault();
      this.ask();
    });
    this.list = make('ol', 'findings');
    this.element = make('div', 'stuck', make('h2', '', 'Stuck ', make('small', '', 'coroutines that do not go on: proved, suspected, odd')),
      make('p', 'lead', 'A search looks at every coroutine and, if there are 10,000 or fewer, through the memory of the server for the other ends of channels. '
        + 'That takes up to some seconds of a processor, so it is done when you ask for it. '
        + 'Circles are found however short they are; waits for channels, and odd ones, once they last as long as you say.'), this.form, this.list);
    this.element.hidden = true;
    this.forget();
    page.link.addEventListener('state', () => { if (page.link.state !== 'live' && this.searching) this.end('The connection was lost: nothing was answered.'); });
    // It may be another start of the server, where others have these numbers.
    page.link.addEventListener('me', () => this.forget());
  }

  forget() {
    this.list.replaceChildren();
    this.list.hidden = true;
    this.end('');
  }

  ask() {
    if (this.searching) return;
    if (!this.page.link.ask({ type: 'stuck', seconds: Number(this.long.value) })) {
      this.page.say('Not connected: nothing was asked.', true);
      return;
    }
    this.searching = true;
    // The focus stays: a button that is disabled would lose it.
    this.button.setAttribute('aria-disabled', true);
    write(this.facts, 'Searching …');
  }

  end(text) {
    this.searching = false;
    this.button.setAttribute('aria-disabled', false);
    write(this.facts, text);
  }

  found({ rows, total, took, failed }) {
    if (failed !== undefined) {
      this.end(failed);
      return;
    }
    const at = new Date().toLocaleTimeString('en-GB');
    const what = total > rows.length ? `The surest ${count(rows.length)} of ${count(total)}` : total ? `${count(total)} found` : 'None found';
    this.end(`${what}, at ${at}; the search took ${duration(took)}`);
    this.list.hidden = !rows.length;
    this.list.replaceChildren(...rows.map(row => this.line(row)));
  }

  line({ certainty, id, name, waits_for, since, needs, usual, place, at, hint }) {
    const head = make('div', 'head', make('b', `badge ${certainty}`, certainty), opener(this.page, id, `${name} #${id}`), make('code', '', where({ place, at })));
    const why = make('p', '', `has waited ${duration(since)} for ${waits_for}${usual === null ? '' : `; usual are ${duration(usual)}`}`);
    if (needs.length) why.append('; needs ', ...needs.flatMap((need, at) => [...(at ? [', '] : []), opener(this.page, need)]));
    return make('li', '', head, why, ...(hint ? [make('p', 'remedy', hint)] : []));
  }
}

/** Tells of each count by an event, `count`. */
export class Trouble extends EventTarget {
  name = 'trouble';
  title = 'Trouble';

  constructor(page) {
    super();
    this.page = page;
    this.seen = new Seen();
    /** What is marked as new since the view was opened. */
    this.marked = new Set();
    this.summary = '';
    this.fresh = 0;
    this.deadlocks = make('div', 'circles', make('p', 'empty', 'Loading …'));
    this.table = new Table([
      { key: 'name', title: 'Coroutine', look: 'strong', fill: (cell, row) => this.stalled(cell, row) },
      { key: 'lasted', title: 'Held it', kind: 'num', width: '7rem', show: row => duration(row.lasted) + (row.over ? '' : ' …') },
      { key: 'worker', title: 'Worker', kind: 'num', width: '5.5rem', room: 'wide' },
      { key: 'ran', title: 'On processor', kind: 'num', width: '8rem', room: 'wide', show: row => duration(row.ran) },
      { key: 'lock', title: 'In a lock', width: '12rem', room: 'wide', show: row => (row.lock ? `${row.lock}${row.held_by ? `, held by #${row.held_by}` : ''}` : '') },
      { key: 'place', title: 'Place', width: '34%', room: 'mid', show: where },
    ], {
      key: row => `${row.id} ${row.since}`,
      sort: { key: 'lasted', descending: true },
      open: row => page.open(row.id),
      empty: 'None since the start: every coroutine suspended within the latency limit.',
    });
    this.lints = new Lints(page);
    this.stuck = new Search(page);
    this.element = make('section', 'trouble', make('h2', '', 'Deadlocks ', make('small', '', 'coroutines that wait for each other in a circle')), this.deadlocks,
      this.lints.element, make('h2', '', 'Stalls ', make('small', '', 'coroutines that held their worker for too long')), this.table.element, this.stuck.element);
  }

  wants() {
    return { panel: 'trouble' };
  }

  /** Another start of the server, or the same again. */
  begin(start) {
    this.seen.begin(start);
    this.marked.clear();
  }

  /** What was marked has been looked at. */
  leave() {
    this.marked.clear();
  }

  count(counted) {
    this.counted = counted;
    const keys = ['deadlocks', 'lints', 'stalls'].flatMap(kind => counted[kind] ?? []);
    this.seen.keepOnly(new Set(keys));
    const number = (kind, one, many) => (counted[kind]?.length ? [`${count(counted[kind].length)} ${counted[kind].length === 1 ? one : many}`] : []);
    this.summary = [...number('deadlocks', 'deadlock', 'deadlocks'), ...number('lints', 'lint', 'lints'), ...number('stalls', 'stall', 'stalls')].join(', ');
    this.fresh = keys.filter(key => !this.seen.has(key)).length;
    this.tab.dataset.count = this.fresh ? `${count(this.fresh)} new` : keys.length ? count(keys.length) : '';
    this.tab.dataset.heat = this.fresh || counted.deadlocks?.length ? 'hot' : '';
    this.tab.title = this.summary && `${this.summary}${this.fresh ? `; ${count(this.fresh)} new` : ''}`;
    this.dispatchEvent(new Event('count'));
  }

  /** These are on the screen. */
  show(keys) {
    keys.filter(key => !this.seen.has(key)).forEach(key => this.marked.add(key));
    this.seen.add(keys);
    if (this.counted && this.fresh) this.count(this.counted);
  }

  stalled(cell, row) {
    if (!cell.firstChild) cell.append(mark(), make('span'));
    const [badge, name] = cell.children;
    badge.hidden = !this.marked.has(row.key);
    write(name, `${row.name} #${row.id}`);
    if (cell.title !== name.textContent) cell.title = name.textContent;
  }

  found(stuck) {
    this.stuck.found(stuck);
  }

  update(view) {
    if (view.panel !== 'trouble') return;
    this.show(['deadlocks', 'lints', 'stalls'].flatMap(kind => view[kind] ?? []).map(one => one.key));
    this.table.update(view.stalls ?? []);
    this.lints.update(view.lints ?? [], key => this.marked.has(key));
    this.stuck.element.hidden = !view.searches;
    const text = JSON.stringify([view.deadlocks ?? view.failed, [...this.marked]]);
    if (text === this.shown) return;
    this.shown = text;
    if (!view.deadlocks?.length) {
      this.deadlocks.replaceChildren(make('p', 'empty', view.failed ?? 'None: no coroutine waits for another that waits for it.'));
      return;
    }
    this.deadlocks.replaceChildren(...view.deadlocks.map(circle => {
      const steps = circle.steps.map(one => make('li', '', opener(this.page, one.id, `${one.name} #${one.id}`),
        ` waits for ${one.waits_for} in `, make('code', '', where(one)), ', which ', opener(this.page, one.held_by), ' has'));
      const badge = mark();
      badge.hidden = !this.marked.has(circle.key);
      return make('div', 'circle', badge, make('ol', '', ...steps));
    }));
  }
}
