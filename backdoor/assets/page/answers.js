// What the console's functions answer, kept up to date: those with a view of their own, and all values of the application.

import { count, make, shortened, write } from './format.js';
import { Table } from './table.js';
import { columnsOf, isRecord, rank, text } from './plain.js';

/** Columns that have the number of a coroutine. */
const IDS = new Set(['id', 'coroutine', 'owner', 'first', 'reader', 'writer']);

/** Shows any value in its place: a table, a list of fields, or a word. */
class Answer {
  /** Only the console's own functions are known to mean coroutines by their numbers. */
  constructor(page, knowsCoroutines = false) {
    this.page = page;
    this.ids = knowsCoroutines ? IDS : new Set();
    this.element = make('div', 'answer', make('p', 'empty', 'Loading …'));
    this.shape = '';
  }

  show({ value, failed }) {
    if (failed !== undefined) {
      this.reshape('failed', () => make('p', 'empty bad'));
      write(this.element.firstChild, failed);
      return;
    }
    const rows = isRecord(value) && value.$rows;
    if (rows && rows.every(isRecord)) this.table(rows, value.total);
    else if (rows) this.word(rows.map(text).join(', ') || 'nothing');
    else if (isRecord(value)) this.fields(value);
    else this.word(value === null ? 'nothing' : text(value));
  }

  reshape(shape, make_) {
    if (shape === this.shape) return;
    this.shape = shape;
    this.element.replaceChildren(make_());
  }

  word(word) {
    this.reshape('word', () => make('p', 'word'));
    write(this.element.firstChild, shortened(word));
  }

  fields(record) {
    this.reshape(`fields ${Object.keys(record).join()}`, () => {
      const list = make('dl', 'info');
      this.values = Object.keys(record).map(name => {
        const value = make('dd');
        list.append(make('dt', '', name.replaceAll('_', ' ')), value);
        return value;
      });
      return list;
    });
    Object.values(record).forEach((value, at) => write(this.values[at], shortened(text(value))));
  }

  table(rows, total) {
    const columns = columnsOf(rows);
    // An empty table keeps the columns that it had.
    if (rows.length || !this.shape.startsWith('table')) {
      this.reshape(`table ${JSON.stringify(columns)}`, () => {
        this.list = new Table(columns.length ? columns.map(({ name, numbers }) => ({
          key: name, title: name.replaceAll('_', ' '), kind: numbers ? 'num' : '', sort: row => rank(row[name]),
          fill: this.ids.has(name) && numbers ? (cell, row) => this.opens(cell, row[name]) : undefined,
          show: row => (typeof row[name] === 'number' && Number.isInteger(row[name]) && !/id$/.test(name) ? count(row[name]) : shortened(text(row[name]))),
        })) : [{ key: '', title: '', sort: false }], { sort: { key: null, descending: false }, empty: 'None at the moment.' });
        this.list.table.classList.add('free');
        this.list.table.hidden = !columns.length;
        this.more = make('p', 'lead');
        return make('div', '', this.list.element, this.more);
      });
    }
    this.list.update(rows);
    write(this.more, total > rows.length ? `The first ${count(rows.length)} of ${count(total)}.` : '');
  }

  /** The number of a coroutine, which leads to it. */
  opens(cell, id) {
    if (!cell.firstChild) {
      const button = make('button', 'link');
      button.addEventListener('click', () => this.page.open(Number(button.textContent)));
      cell.append(button);
    }
    const button = cell.firstChild;
    button.hidden = !Number.isInteger(id);
    write(button, button.hidden ? '' : id);
  }
}

/** A function of the console with a view of its own. */
export class View {
  constructor(page, { name, about }) {
    this.name = name;
    this.title = { fds: 'Descriptors' }[name] ?? name[0].toUpperCase() + name.slice(1);
    this.answer = new Answer(page, true);
    this.element = make('section', '', make('p', 'lead', `${about[0].toUpperCase()}${about.slice(1)}: `, make('code', '', `${name}()`), ' of the console.'), this.answer.element);
  }

  wants() {
    return { panel: 'answers', of: [this.name] };
  }

  update(view) {
    const [answer] = view.answers ?? [];
    if (answer?.name === this.name) this.answer.show(answer);
  }
}

/** All that the application exposes. */
export class Values {
  name = 'values';
  title = 'Values';

  constructor(page, exposed) {
    this.page = page;
    this.asked = exposed.filter(one => one.askable).slice(0, 32);
    this.cards = new Map();
    this.element = make('section', '', make('p', 'lead', 'What the application exposes and can be looked at, as it is now.'));
    for (const one of this.asked) {
      const answer = new Answer(page);
      this.cards.set(one.name, answer);
      this.element.append(make('div', 'card', make('h2', '', one.name, ' ', make('small', '', one.about)), answer.element));
    }
    if (!this.asked.length) this.element.append(make('p', 'empty', 'The application exposes nothing that could be looked at.'));
    const others = exposed.filter(one => !one.askable);
    if (others.length) {
      const table = new Table([
        { key: 'call', title: 'Call', width: '34%', look: 'strong' },
        { key: 'about', title: 'What it does' },
        { key: 'right', title: 'Needs the right', width: '9rem', room: 'wide' },
      ], { empty: '' });
      table.update(others);
      this.element.append(make('h2', '', 'Functions ', make('small', '', 'called from the console')), table.element);
    }
  }

  wants() {
    return { panel: 'answers', of: this.asked.map(one => one.name) };
  }

  update(view) {
    for (const answer of view.answers ?? []) this.cards.get(answer.name)?.show(answer);
  }
}

