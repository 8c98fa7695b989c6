// All coroutines: searched and sorted by the server, a page at a time.

import { count, duration, make, write } from './format.js';
import { Table } from './table.js';

const ROWS = 100;
/** As far as the server pages. */
const DEEPEST = 20000;

export const stateColumn = {
  key: 'state', title: 'State', width: '6.5rem',
  fill: (cell, row) => {
    write(cell, row.state);
    cell.dataset.state = row.state;
  },
};

export class Coroutines {
  name = 'coroutines';
  title = 'Coroutines';

  constructor(page) {
    this.page = page;
    this.from = 0;
    this.group = null;
    this.search = make('input', 'search');
    this.search.type = 'search';
    this.search.placeholder = 'Name, id, place, or what it waits for';
    this.search.setAttribute('aria-label', 'Search coroutines');
    this.search.maxLength = 200;
    this.states = make('select');
    this.states.setAttribute('aria-label', 'State');
    for (const [value, text] of [['', 'any state'], ['running', 'running'], ['ready', 'ready'], ['waiting', 'waiting'], ['unstarted', 'unstarted']]) {
      const option = make('option', '', text);
      option.value = value;
      this.states.append(option);
    }
    this.chip = make('button', 'chip');
    this.chip.title = 'Show all groups';
    this.chip.hidden = true;
    this.chip.addEventListener('click', () => this.with({ group: null }));
    this.range = make('span', 'range');
    this.back = make('button', 'quiet', '‹');
    this.on = make('button', 'quiet', '›');
    this.back.setAttribute('aria-label', 'The page before');
    this.on.setAttribute('aria-label', 'The next page');
    this.back.addEventListener('click', () => this.turn(-ROWS));
    this.on.addEventListener('click', () => this.turn(ROWS));
    this.table = new Table([
      { key: 'id', title: 'Id', kind: 'num', width: '6rem', room: 'mid' },
      { key: 'name', title: 'Name', look: 'strong' },
      stateColumn,
      { key: 'waits_for', title: 'Waits for', width: '24%', room: 'wide' },
      { key: 'since', title: 'For', kind: 'num', width: '6.5rem', room: 'mid', show: row => duration(row.since) },
      { key: 'cpu', title: 'Processor', kind: 'num', width: '6.5rem', show: row => duration(row.cpu) },
      { key: 'switches', title: 'Switches', kind: 'num', width: '7.5rem', room: 'wide', show: row => count(row.switches) },
      { key: 'worker', title: 'Worker', kind: 'num', width: '5.5rem', room: 'wide' },
    ], {
      key: row => row.id,
      open: row => page.open(row.id),
      sort: { key: 'cpu', descending: true },
      sorted: () => this.anew(),
      empty: () => (this.filtered() ? 'No coroutine is like that.' : 'No coroutine lives.'),
    });
    const tools = make('div', 'tools', this.search, this.states, this.chip, make('span', 'spring'), this.range, this.back, this.on);
    this.element = make('section', '', tools, this.table.element);
    let wait = null;
    this.search.addEventListener('input', () => {
      clearTimeout(wait);
      wait = setTimeout(() => this.anew(), 200);
    });
    this.states.addEventListener('change', () => this.anew());
  }

  /** Shows those of a group. */
  with({ group = null }) {
    this.group = group;
    this.chip.hidden = group === null;
    write(this.chip, group === null ? '' : `${group}  ×`);
    this.anew();
  }

  anew() {
    this.from = 0;
    this.page.changed(this);
  }

  turn(rows) {
    this.from = Math.max(this.from + rows, 0);
    this.table.element.scrollTop = 0;
    this.page.changed(this);
  }

  filtered() {
    return this.search.value.trim() !== '' || this.states.value !== '' || this.group !== null;
  }

  wants() {
    return {
      panel: 'coroutines', text: this.search.value, group: this.group, state: this.states.value || null,
      sort: this.table.sort.key, descending: this.table.sort.descending, from: this.from, count: ROWS,
    };
  }

  update(view) {
    if (view.panel !== 'coroutines') return;
    this.table.update(view.rows);
    const first = view.rows.length ? view.from + 1 : 0;
    const of = this.filtered() ? `${count(view.matching)} of ${count(view.all)}` : count(view.all);
    write(this.range, `${count(first)}–${count(view.from + view.rows.length)} of ${of}`);
    this.back.disabled = this.from === 0;
    this.on.disabled = view.from + view.rows.length >= Math.min(view.matching, DEEPEST);
    // They ended while the page was turned.
    if (!view.rows.length && view.from > 0 && view.from === this.from) this.turn(-ROWS);
  }
}
