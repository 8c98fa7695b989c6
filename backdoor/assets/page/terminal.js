// The console in the page.

import { duration, make } from './format.js';
import { lines } from './plain.js';
import { Editor } from './editor.js';
import { Session } from './session.js';

/** Rows of an answer that are fetched; plain.js shows fewer, and says so. */
const ROWS = 300;

const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Lines of whole words, as long as there is room. */
function broken(text, columns) {
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = lines.at(-1);
    if (line && line.length + 1 + word.length > columns) lines.push(word);
    else lines[lines.length - 1] = line ? `${line} ${word}` : word;
  }
  return lines;
}

export class Console {
  name = 'console';
  title = 'Console';

  constructor(page) {
    this.page = page;
    this.screen = make('div', 'screen');
    this.element = make('section', '', this.screen);
    this.lines = [];
  }

  wants() {
    return { panel: 'figures' };
  }

  update() {}

  /** Made when it is first looked at: it is the largest part of the page. */
  async enter() {
    if (!this.starting) this.starting = this.start();
    await this.starting;
    this.fit.fit();
    this.term.focus();
  }

  async start() {
    const style = make('link');
    style.rel = 'stylesheet';
    style.href = '/page/xterm.css';
    document.head.append(style);
    const [{ Terminal }, { FitAddon }] = await Promise.all([import('/page/xterm.mjs'), import('/page/addon-fit.mjs')]);
    this.term = new Terminal({
      fontFamily: colour('--mono'), fontSize: 14, scrollback: 10000, screenReaderMode: false, cursorBlink: false,
      minimumContrastRatio: 4.5,
    });
    this.fit = new FitAddon();
    this.term.loadAddon(this.fit);
    this.term.open(this.screen);
    this.paint();
    this.fit.fit();
    new ResizeObserver(() => { if (!this.element.hidden) this.fit.fit(); }).observe(this.screen);
    new MutationObserver(() => this.paint()).observe(document.documentElement, { attributeFilter: ['data-theme'] });
    this.editor = new Editor(this.term, {
      key: 'console-history',
      entered: line => this.entered(line),
      complete: (line, at) => this.session.complete(line, at),
      interrupt: () => this.session.interrupt(),
    });
    await this.connect();
  }

  paint() {
    this.term.options.theme = {
      background: colour('--panel'), foreground: colour('--ink'), cursor: colour('--accent'), cursorAccent: colour('--panel'),
      selectionBackground: colour('--wash'), red: colour('--hot'), green: colour('--good'), yellow: colour('--warm'), magenta: colour('--accent'),
    };
  }

  async connect() {
    this.session = new Session();
    this.session.addEventListener('close', () => this.lost());
    try {
      const { application, pid, uptime } = await this.session.greeted;
      this.prompt = `${application}> `;
      const greeting = `${application} (process ${pid}, up ${duration(uptime)}). help() lists what there is, Tab completes, Ctrl-C stops.`;
      for (const line of broken(greeting, this.term.cols)) this.say(`\x1b[2m${line}\x1b[22m`);
      this.editor.read(this.prompt);
    } catch {
      // `lost` has said so.
    }
  }

  lost() {
    this.lines = [];
    this.editor.busy = true;
    this.say(`\r\n\x1b[31m${this.session.refused ?? 'The connection is lost.'}\x1b[39m \x1b[2mTrying again …\x1b[22m`);
    const again = () => {
      if (this.page.link.state === 'live') this.connect();
      else setTimeout(again, 500);
    };
    setTimeout(again, this.session.refused ? 5000 : 500);
  }

  say(line) {
    this.term.write(`${line}\r\n`);
  }

  async entered(line) {
    if (line === null) {
      this.lines = [];
      this.editor.read(this.prompt);
      return;
    }
    this.lines.push(line);
    const source = this.lines.join('\n');
    const { session } = this;
    try {
      if (!source.trim()) {
        this.lines = [];
      } else if (await session.isIncomplete(source)) {
        this.editor.read(`${'.'.repeat(Math.max(this.prompt.length - 1, 1))} `);
        return;
      } else {
        this.lines = [];
        const answer = await session.evaluate(source, ROWS, text => this.term.write(text.replaceAll('\n', '\r\n').replace(/[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]/g, '·')));
        if (answer.type === 'result') lines(answer.value, answer.rows, answer.total, this.term.cols).forEach(one => this.say(one));
      }
    } catch (error) {
      if (session !== this.session || session.socket.readyState !== WebSocket.OPEN) return;
      this.lines = [];
      this.fail(error, source);
    }
    this.editor.read(this.prompt);
  }

  fail({ message, line, column, hint }, source) {
    if (line && column) {
      const text = source.split('\n')[line - 1] ?? '';
      if (source.includes('\n')) this.say(`\x1b[2m${text}\x1b[22m`);
      this.say(`${' '.repeat(column - 1 + (source.includes('\n') ? 0 : this.prompt.length))}\x1b[31m^\x1b[39m`);
    }
    message.split('\n').forEach(one => this.say(`\x1b[31m${one}\x1b[39m`));
    if (hint) this.say(`\x1b[2m${hint}\x1b[22m`);
  }
}
