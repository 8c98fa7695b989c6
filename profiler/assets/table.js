// A table that sorts by a click on a column's head, or Enter on it. Large ones show their first rows until all are asked for.
//
//   new Table(element, { caption, columns, rows, sort, empty })
//
// A column: `key`, `title`, `value(row)` to sort by; `text(row)` to show (else the value), or `fill(cell, row)`; `note`, shown
// with the head; `bar(row)` from 0 to 1, drawn behind the figure; `kind`: 'text' aligns left, and sorts upwards first.
// `sort` is the key to begin with. `about(row)`, if given, makes what opens below a row when its first cell is clicked.
'use strict';

const Table = (() => {
  const FIRST = 100;
  const make = (kind, text, name) => {
    const element = document.createElement(kind);
    if (text !== undefined) element.textContent = text;
    if (name) element.className = name;
    return element;
  };

  return class Table {
    constructor(element, options) {
      Object.assign(this, { element, about: null, filter: null, empty: 'Nothing was recorded.', descending: true, ...options });
      this.open = null;
      this.all = false;
      this.draw();
    }

    // Other rows; the order stays.
    show(rows) {
      this.rows = rows;
      this.open = null;
      this.draw();
    }

    column(key) { return this.columns.find(column => column.key === key) ?? this.columns[0]; }

    sortBy(key) {
      const column = this.column(key);
      this.descending = this.sort === key ? !this.descending : column.kind !== 'text';
      this.sort = key;
      this.draw();
      this.element.querySelector(`th[data-key="${key}"] button`)?.focus();
    }

    sorted() {
      const { value } = this.column(this.sort), sign = this.descending ? -1 : 1;
      const compare = (a, b) => typeof a === 'string' ? a.localeCompare(b, 'en', { numeric: true }) : a - b;
      return [...this.rows].sort((a, b) => sign * compare(value(a), value(b)));
    }

    draw() {
      const rows = this.sorted(), shown = this.all ? rows : rows.slice(0, FIRST);
      const table = make('table'), body = make('tbody');
      table.append(make('caption', this.caption, 'unseen'), this.head(), body);
      for (const row of shown) {
        body.append(this.row(row));
        if (row === this.open) body.append(this.opened(row));
      }
      const scroller = make('div', undefined, 'scroller');
      scroller.append(table);
      // What scrolls sideways must be reached by the keyboard.
      scroller.tabIndex = 0;
      scroller.setAttribute('role', 'region');
      scroller.setAttribute('aria-label', this.caption);
      const at = this.element.querySelector('.scroller')?.scrollLeft ?? 0;
      this.element.replaceChildren(rows.length ? scroller : make('p', this.empty, 'empty'));
      scroller.scrollLeft = at;
      if (shown.length < rows.length) {
        const more = make('button', `Show all ${units.count(rows.length)} rows`, 'more');
        more.addEventListener('click', () => { this.all = true; this.draw(); });
        this.element.append(more);
      }
    }

    head() {
      const head = make('thead'), row = head.appendChild(make('tr'));
      for (const { key, title, kind, note } of this.columns) {
        const cell = row.appendChild(make('th', undefined, kind === 'text' ? 'text' : ''));
        cell.scope = 'col';
        cell.dataset.key = key;
        if (key === this.sort) cell.setAttribute('aria-sort', this.descending ? 'descending' : 'ascending');
        const button = cell.appendChild(make('button', title));
        if (note) button.title = note;
        button.addEventListener('click', () => this.sortBy(key));
      }
      return head;
    }

    row(row) {
      const line = make('tr');
      this.columns.forEach((column, i) => {
        const cell = line.appendChild(make(i ? 'td' : 'th', undefined, column.kind === 'text' ? 'text' : ''));
        if (!i) cell.scope = 'row';
        if (column.bar) {
          cell.classList.add('bar');
          cell.style.setProperty('--share', Math.max(0, Math.min(1, column.bar(row) || 0)).toFixed(3));
        }
        if (column.tone) cell.classList.add(...[column.tone(row)].filter(Boolean));
        if (column.fill) column.fill(cell, row);
        else cell.textContent = column.text ? column.text(row) : column.value(row);
      });
      if (!this.about) return line;
      const opener = line.querySelector('button');
      opener?.setAttribute('aria-expanded', row === this.open);
      opener?.addEventListener('click', () => {
        this.open = this.open === row ? null : row;
        this.draw();
        this.element.querySelector('[aria-expanded=true]')?.focus();
      });
      return line;
    }

    opened(row) {
      const line = make('tr', undefined, 'opened'), cell = line.appendChild(make('td'));
      cell.colSpan = this.columns.length;
      cell.append(this.about(row));
      return line;
    }
  };
})();
