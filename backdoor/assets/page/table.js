// A table that is refreshed in place.

import { make, write } from './format.js';

/**
 * Columns: { key, title, width, kind: 'num' | '', room: 'wide' or 'mid', hidden where there is less, sort: what its value is compared by
 * (false: cannot be sorted by), show(row): text, fill(cell, row): instead of text }.
 *
 * Options: empty: what is said in place of rows (text or function); key(row); open(row): on click or Enter;
 * sort: { key, descending }; sorted(sort): whoever sorts elsewhere, such as the server.
 */
export class Table {
  constructor(columns, options) {
    this.columns = columns;
    this.options = options;
    this.sort = options.sort ?? { key: columns[0].key, descending: false };
    this.rows = [];
    this.lines = [];
    this.chosen = null;
    this.body = make('tbody');
    this.head = make('tr');
    const group = make('colgroup');
    for (const column of columns) {
      const col = make('col', column.room ?? '');
      if (column.width) col.style.width = column.width;
      group.append(col);
      this.head.append(this.header(column));
    }
    const table = make('table', 'list', group, make('thead', '', this.head), this.body);
    this.empty = make('p', 'empty');
    this.element = make('div', 'scroll', table, this.empty);
    this.table = table;
    table.tabIndex = 0;
    table.addEventListener('keydown', event => this.key(event));
    this.body.addEventListener('click', event => {
      if (event.target.closest('a, button')) return;
      const at = this.lines.findIndex(line => line.tr === event.target.closest('tr'));
      if (at >= 0) this.open(this.shown[at]);
    });
    this.mark();
    this.update([]);
    this.pending();
  }

  header(column) {
    const cell = make('th', `${column.kind ?? ''} ${column.room ?? ''}`.trim());
    cell.scope = 'col';
    if (column.sort === false) {
      cell.append(column.title);
      return cell;
    }
    const button = make('button', '', column.title);
    button.addEventListener('click', () => {
      const again = this.sort.key === column.key;
      this.sort = { key: column.key, descending: again ? !this.sort.descending : column.kind === 'num' };
      this.mark();
      if (this.options.sorted) this.options.sorted(this.sort);
      else this.update(this.rows);
    });
    cell.append(button);
    cell.dataset.key = column.key;
    return cell;
  }

  mark() {
    for (const cell of this.head.children) {
      const chosen = cell.dataset.key === this.sort.key;
      cell.setAttribute('aria-sort', chosen ? (this.sort.descending ? 'descending' : 'ascending') : 'none');
    }
  }

  /** Nothing has come yet. */
  pending() {
    this.empty.hidden = false;
    this.empty.textContent = 'Loading …';
  }

  update(rows) {
    this.rows = rows;
    const shown = this.options.sorted ? rows : this.inOrder(rows);
    this.shown = shown;
    while (this.lines.length > shown.length) this.lines.pop().tr.remove();
    while (this.lines.length < shown.length) this.lines.push(this.line());
    shown.forEach((row, at) => this.fill(this.lines[at], row));
    this.empty.hidden = shown.length > 0;
    if (!shown.length) {
      const { empty } = this.options;
      write(this.empty, typeof empty === 'function' ? empty() : empty);
    }
  }

  inOrder(rows) {
    const column = this.columns.find(one => one.key === this.sort.key);
    if (!column) return rows;
    const value = column.sort ?? (row => row[column.key]);
    const sign = this.sort.descending ? -1 : 1;
    const nothing = x => x === null || x === undefined;
    return [...rows].sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if (nothing(x) || nothing(y)) return nothing(x) - nothing(y);
      return sign * (x < y ? -1 : x > y ? 1 : 0);
    });
  }

  line() {
    const tr = make('tr');
    const cells = this.columns.map(column => {
      const cell = make('td', `${column.kind ?? ''} ${column.room ?? ''} ${column.look ?? ''}`.trim());
      tr.append(cell);
      return cell;
    });
    this.body.append(tr);
    return { tr, cells };
  }

  fill({ tr, cells }, row) {
    tr.classList.toggle('chosen', this.options.key !== undefined && this.chosen !== null && this.options.key(row) === this.chosen);
    this.columns.forEach((column, at) => {
      const cell = cells[at];
      if (column.fill) {
        column.fill(cell, row);
        return;
      }
      const text = column.show ? column.show(row) : row[column.key];
      write(cell, text);
      if (column.kind !== 'num' && cell.title !== cell.textContent) cell.title = cell.textContent;
    });
  }

  /** Marks the row of this key. */
  choose(key) {
    this.chosen = key;
    this.shown.forEach((row, at) => this.lines[at].tr.classList.toggle('chosen', this.options.key?.(row) === key));
  }

  open(row) {
    if (!this.options.open) return;
    this.choose(this.options.key?.(row) ?? null);
    this.options.open(row);
  }

  key(event) {
    const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: 20, PageUp: -20 }[event.key];
    const at = this.shown.findIndex(row => this.options.key?.(row) === this.chosen);
    if (step && this.shown.length && this.options.key) {
      event.preventDefault();
      const next = at < 0 ? 0 : Math.min(Math.max(at + step, 0), this.shown.length - 1);
      this.choose(this.options.key(this.shown[next]));
      this.lines[next].tr.scrollIntoView({ block: 'nearest' });
    } else if (event.key === 'Enter' && at >= 0) {
      event.preventDefault();
      this.open(this.shown[at]);
    }
  }
}
