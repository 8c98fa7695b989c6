// Editing a line in a terminal: keys in, escape sequences out.

import { width } from './plain.js';

const HISTORY = 500;

/** Word to the left or right of a place. */
const before = (text, at) => text.slice(0, at).replace(/\S+\s*$/, '').length;
const behind = (text, at) => at + (/^\s*\S*/.exec(text.slice(at))?.[0].length ?? 0);

export class Editor {
  /** `entered(line)` is awaited before the next line is read; `complete(line, at)` gives { start, names }. */
  constructor(term, { key, entered, complete, interrupt }) {
    this.term = term;
    this.storage = key;
    this.entered = entered;
    this.completions = complete;
    this.interrupt = interrupt;
    this.prompt = '';
    this.text = '';
    this.at = 0;
    this.row = 0;
    this.busy = true;
    this.ahead = [];
    this.history = JSON.parse(localStorage.getItem(key) ?? '[]');
    this.back = this.history.length;
    this.draft = '';
    term.onData(data => this.type(data));
    term.onResize(() => { if (!this.busy) this.draw(); });
  }

  /** Reads the next line. */
  read(prompt) {
    this.prompt = prompt;
    this.text = '';
    this.at = 0;
    this.row = 0;
    this.busy = false;
    this.back = this.history.length;
    this.draft = '';
    this.draw();
    while (this.ahead.length && !this.busy) this.key(this.ahead.shift());
  }

  type(data) {
    for (const key of data.match(/\x1b\[[0-9;]*[A-Za-z~]|\x1bO[A-Z]|\x1b.|[^\x1b\x00-\x1f\x7f]+|[^]/gu) ?? []) {
      if (key === '\x03') {
        this.ahead = [];
        if (this.busy) this.interrupt();
        else this.abandon();
      } else if (this.busy) {
        if (this.ahead.length < 1000) this.ahead.push(key);
      } else {
        this.key(key);
      }
    }
  }

  key(key) {
    const { text, at } = this;
    const edits = {
      '\x7f': () => this.cut(at - (/[\ud800-\udbff][\udc00-\udfff]$/.test(text.slice(0, at)) ? 2 : 1), at),
      '\x1b[3~': () => this.cut(at, at + 1),
      '\x04': () => this.cut(at, at + 1),
      '\x17': () => this.cut(before(text, at), at),
      '\x1b\x7f': () => this.cut(before(text, at), at),
      '\x15': () => this.cut(0, at),
      '\x0b': () => this.cut(at, text.length),
      '\x1b[D': () => this.move(at - 1), '\x02': () => this.move(at - 1),
      '\x1b[C': () => this.move(at + 1), '\x06': () => this.move(at + 1),
      '\x1b[1;5D': () => this.move(before(text, at)), '\x1bb': () => this.move(before(text, at)),
      '\x1b[1;5C': () => this.move(behind(text, at)), '\x1bf': () => this.move(behind(text, at)),
      '\x1b[H': () => this.move(0), '\x1bOH': () => this.move(0), '\x01': () => this.move(0),
      '\x1b[F': () => this.move(text.length), '\x1bOF': () => this.move(text.length), '\x05': () => this.move(text.length),
      '\x1b[A': () => this.recall(-1), '\x10': () => this.recall(-1),
      '\x1b[B': () => this.recall(1), '\x0e': () => this.recall(1),
      '\x0c': () => { this.term.write('\x1b[2J\x1b[H'); this.row = 0; this.draw(); },
      '\t': () => this.complete(),
      '\r': () => this.enter(), '\n': () => this.enter(),
    };
    if (edits[key]) edits[key]();
    else if (!/[\x00-\x1f\x7f]/.test(key)) this.replace(text.slice(0, at) + key + text.slice(at), at + key.length);
  }

  replace(text, at) {
    this.text = text;
    this.at = at;
    this.draw();
  }

  cut(from, to) {
    if (from >= 0 && to <= this.text.length && from < to) this.replace(this.text.slice(0, from) + this.text.slice(to), from);
  }

  move(to) {
    this.at = Math.min(Math.max(to, 0), this.text.length);
    this.draw();
  }

  recall(step) {
    const to = this.back + step;
    if (to < 0 || to > this.history.length) return;
    if (this.back === this.history.length) this.draft = this.text;
    this.back = to;
    const text = this.history[to] ?? this.draft;
    this.replace(text, text.length);
  }

  async complete() {
    const { text, at } = this;
    this.busy = true;
    let found = { names: [] };
    try {
      found = await this.completions(text, at);
    } catch {
      // Without a connection there is nothing to offer.
    }
    this.busy = false;
    const { start, names } = found;
    if (names.length) {
      const same = names.map(one => one.text).reduce((a, b) => {
        let end = 0;
        while (end < a.length && a[end] === b[end]) end++;
        return a.slice(0, end);
      });
      if (names.length > 1 && same.length <= at - start) this.offer(names);
      this.text = text.slice(0, start) + same + text.slice(at);
      this.at = start + same.length;
    }
    this.draw();
    while (this.ahead.length && !this.busy) this.key(this.ahead.shift());
  }

  offer(names) {
    this.leave();
    const widest = Math.max(...names.map(one => width(one.label))) + 2;
    const across = Math.max(Math.floor(this.term.cols / widest), 1);
    for (let at = 0; at < names.length; at += across) {
      const line = names.slice(at, at + across).map(one => one.label + ' '.repeat(widest - width(one.label)));
      this.term.write(`\x1b[2m${line.join('').trimEnd()}\x1b[22m\r\n`);
    }
  }

  abandon() {
    this.leave('^C');
    this.busy = true;
    this.entered(null);
  }

  enter() {
    const { text } = this;
    this.leave();
    if (text.trim() && text !== this.history.at(-1)) {
      this.history = [...this.history, text].slice(-HISTORY);
      localStorage.setItem(this.storage, JSON.stringify(this.history));
    }
    this.busy = true;
    this.entered(text);
  }

  /** Goes to a new line below what was typed. */
  leave(mark = '') {
    this.at = this.text.length;
    this.draw();
    this.term.write(`${mark}\r\n`);
    this.row = 0;
  }

  draw() {
    const columns = this.term.cols;
    const start = width(this.prompt);
    const end = start + width(this.text);
    const cursor = start + width(this.text.slice(0, this.at));
    let out = `${this.row > 0 ? `\x1b[${this.row}A` : ''}\r\x1b[J\x1b[1;35m${this.prompt}\x1b[0m${this.text}`;
    // A full line leaves the cursor on it; a space takes it to the next.
    if (end % columns === 0) out += ' \r';
    const [last, row] = [Math.floor(end / columns), Math.floor(cursor / columns)];
    if (last > row) out += `\x1b[${last - row}A`;
    out += `\r${cursor % columns > 0 ? `\x1b[${cursor % columns}C` : ''}`;
    this.row = row;
    this.term.write(out);
  }
}
