// One coroutine: what is known of it, where it is, and the question before it is killed.

import { bytes, count, duration, make, write } from './format.js';

const FACTS = [
  ['State', info => info.state],
  ['Waits for', info => info.waits_for ?? '–'],
  ['For', info => (info.since === null ? '–' : duration(info.since))],
  ['Worker', info => info.worker ?? '–'],
  ['Processor', info => duration(info.cpu)],
  ['Switches', info => count(info.switches)],
  ['Age', info => duration(info.age)],
  ['Stack', info => `${info.stack_used === null ? '–' : bytes(info.stack_used)} of ${bytes(info.stack_size)}`],
  ['Spawned at', info => info.site],
];

export class Detail {
  constructor(page) {
    this.page = page;
    this.element = document.getElementById('detail');
    this.title = make('h2');
    this.number = make('span', 'id');
    this.close = make('button', 'quiet', '×');
    this.close.setAttribute('aria-label', 'Close');
    this.close.addEventListener('click', () => page.open(null));
    this.note = make('p', 'note-line');
    this.facts = make('dl', 'info');
    this.values = FACTS.map(([title]) => {
      const value = make('dd');
      this.facts.append(make('dt', '', title), value);
      return value;
    });
    this.parent = make('button', 'link');
    this.parent.addEventListener('click', () => page.open(this.info.parent));
    this.parentLine = make('dd', '', this.parent);
    this.facts.append(make('dt', '', 'Parent'), this.parentLine);
    this.frames = make('ol', 'frames');
    this.trouble = make('p', 'empty');
    this.button = make('button', 'danger', 'Kill …');
    this.button.addEventListener('click', () => this.kill());
    this.element.append(make('header', '', make('div', '', this.title, this.number), this.close), this.note, this.facts,
      make('h3', '', 'Where it is'), this.frames, this.trouble, make('footer', '', this.button));
    this.dialog = document.getElementById('kill');
    this.dialog.addEventListener('close', () => this.answered());
  }

  show(id) {
    if (id === this.id) return;
    this.id = id;
    this.info = null;
    this.element.hidden = id === null;
    document.body.classList.toggle('with-detail', id !== null);
    if (id === null) return;
    write(this.title, '…');
    write(this.number, `#${id}`);
    write(this.note, '');
    this.values.forEach(value => write(value, '–'));
    write(this.parent, '–');
    this.parent.disabled = true;
    this.frames.replaceChildren();
    this.shown = '';
    this.trouble.hidden = false;
    write(this.trouble, 'Loading …');
    this.button.hidden = true;
  }

  update(detail) {
    if (detail.gone) {
      write(this.note, 'It has ended. What you see is from before.');
      if (!this.info) {
        write(this.title, 'No coroutine');
        write(this.note, 'No coroutine has this id: it may have ended.');
      }
      this.trouble.hidden = true;
      this.button.hidden = true;
      this.element.classList.add('gone');
      return;
    }
    const { info } = detail;
    this.info = info;
    this.element.classList.remove('gone');
    write(this.title, info.name);
    write(this.note, info.interrupted ? 'It was asked to end.' : '');
    FACTS.forEach(([, show], at) => write(this.values[at], show(info)));
    this.parent.disabled = info.parent === null;
    write(this.parent, info.parent === null ? '–' : `#${info.parent}${info.scoped ? ', in its scope' : ''}`);
    this.trouble.hidden = !detail.failed;
    write(this.trouble, detail.failed ?? '');
    if (detail.frames) this.walk(detail.frames);
    this.button.hidden = !this.page.may('operate');
    this.button.disabled = info.interrupted;
    write(this.button, info.interrupted ? 'It was asked to end' : 'Kill …');
  }

  walk(frames) {
    const text = JSON.stringify(frames);
    if (text === this.shown) return;
    this.shown = text;
    this.frames.replaceChildren(...frames.map(frame => {
      const item = make('li', '', make('code', '', frame.function ?? '?'));
      if (frame.file) item.append(make('span', 'place', `${frame.file}:${frame.line ?? '?'}`));
      return item;
    }));
  }

  kill() {
    if (!this.info || this.button.hidden || this.button.disabled) return;
    this.asked = this.info;
    write(document.getElementById('kill-title'), `Kill ${this.info.name} (#${this.info.id})?`);
    document.getElementById('kill-why').value = '';
    this.dialog.returnValue = '';
    this.dialog.showModal();
  }

  answered() {
    if (this.dialog.returnValue !== 'kill' || !this.asked) return;
    const why = document.getElementById('kill-why').value.trim();
    if (!this.page.link.ask({ type: 'kill', id: this.asked.id, why })) this.page.say('Not connected: nothing was asked.', true);
    this.asked = null;
  }
}
