// The profiler: takes a profile of the server, and shows the report of one that is kept.

import { bytes, duration, make, write } from './format.js';

/** How often a worker is looked at, each second of its processor time. */
const RATES = [['1000', '1,000 a second'], ['100', '100 a second'], ['5000', '5,000 a second'], ['0', 'none, only exact times']];
/** What the server's main.rs has to have, if allocations are to be profiled. */
const ALLOCATOR = '#[global_allocator] static ALLOCATOR: grapeshot::profile::Allocator = grapeshot::profile::Allocator::system();';
/** What else a profile can be had as: the name's end, and what reads it. */
const FORMS = [['html', 'Report'], ['firefox.json', 'Firefox Profiler'], ['folded', 'Folded stacks'], ['off.folded', 'Folded waits'], ['alloc.folded', 'Folded allocations'], ['perf', 'perf script'], ['json', 'JSON']];

export class Profiler {
  name = 'profiler';
  title = 'Profiler';
  /** Whoever takes a profile sees how far it is, and then its report, paused or not. */
  goesOn = true;

  constructor(page) {
    this.page = page;
    this.kept = [];
    this.shown = '';
    this.element = make('section', 'profiler', this.asking(), this.progressing(), this.choosing());
    this.empty = make('div', 'welcome', make('h2', '', 'Which function has the processor, and what does everyone wait for?'),
      make('p', '', 'Take a profile for some seconds, while the server does what you want to know about. It counts exactly how long each group of coroutines ran and waited, '
        + 'looks at the stacks of what runs and of what waits, and makes a report of it: flame graphs, a timeline, tables. All workers are in it.'),
      make('p', '', 'The report stays here, with the latest others, until the server ends: it can be downloaded, and compared with another one.'));
    this.frame = make('iframe', 'report');
    this.frame.title = 'The report of the profile';
    this.frame.hidden = true;
    this.frame.addEventListener('load', () => this.loaded());
    this.element.append(this.empty, this.frame);
    // The report follows the page's theme: it hears of the storage.
    this.paint();
    new MutationObserver(() => this.paint()).observe(document.documentElement, { attributeFilter: ['data-theme'] });
  }

  asking() {
    this.seconds = make('input', 'seconds');
    Object.assign(this.seconds, { type: 'number', min: 1, max: 300, value: 10, required: true, id: 'profile-seconds' });
    this.rate = choice('Samples', RATES);
    this.allocations = make('input');
    Object.assign(this.allocations, { type: 'checkbox', id: 'profile-allocations' });
    const memory = make('label', '', this.allocations, ' allocations');
    memory.title = 'Where memory is allocated, too';
    const hint = make('p', 'menu', 'Only the profiler\'s allocator sees allocations, and this server has another one. Add to its main.rs: ', make('code', '', ALLOCATOR));
    // So that a click on it, to copy the line, does not close it.
    hint.tabIndex = -1;
    this.missing = make('details', 'missing', make('summary', 'link', 'not available: why?'), hint);
    this.missing.addEventListener('focusout', event => { if (!this.missing.contains(event.relatedTarget)) this.missing.open = false; });
    this.missing.addEventListener('keydown', event => { if (event.key === 'Escape') this.missing.open = false; });
    this.missing.hidden = true;
    this.go = make('button', 'strong-button', 'Take a profile');
    const label = make('label', '', this.seconds, ' seconds');
    this.form = make('form', 'tools', label, make('label', '', 'Samples ', this.rate), memory, this.missing, this.go);
    this.form.addEventListener('submit', event => {
      event.preventDefault();
      this.start();
    });
    this.barred = make('p', 'lead', 'This token may look at profiles and not take them: it has no right to trace.');
    this.barred.hidden = true;
    return make('div', '', this.form, this.barred);
  }

  progressing() {
    this.bar = make('progress');
    this.bar.setAttribute('aria-label', 'How far the profile is');
    this.state = make('span', 'state');
    this.stop = make('button', 'quiet', 'Stop and show');
    this.discard = make('button', 'quiet', 'Discard');
    this.stop.addEventListener('click', () => this.end(true));
    this.discard.addEventListener('click', () => this.end(false));
    this.progress = make('div', 'tools taking', this.bar, this.state, make('span', 'spring'), this.stop, this.discard);
    this.progress.setAttribute('role', 'status');
    this.progress.hidden = true;
    return this.progress;
  }

  choosing() {
    this.which = choice('Profile', []);
    this.before = choice('Compared with', []);
    this.facts = make('span', 'range');
    this.links = FORMS.map(([end, title]) => [end, make('a', 'link', title)]);
    const downloads = make('details', 'downloads', make('summary', 'quiet', 'Download'), make('div', 'menu', ...this.links.map(([, link]) => link)));
    downloads.addEventListener('click', event => { if (event.target.closest('a')) downloads.open = false; });
    downloads.addEventListener('focusout', event => { if (!downloads.contains(event.relatedTarget)) downloads.open = false; });
    this.away = make('a', 'quiet', 'In a tab of its own');
    this.away.target = '_blank';
    this.away.rel = 'noopener';
    this.which.addEventListener('change', () => this.show());
    this.before.addEventListener('change', () => this.show());
    this.chosen = make('div', 'tools', make('label', '', make('span', 'label', 'Profile '), this.which), make('label', '', make('span', 'label', 'compared with '), this.before),
      this.facts, make('div', 'ends', this.away, downloads));
    this.chosen.hidden = true;
    return this.chosen;
  }

  wants() {
    return { panel: 'profiler' };
  }

  start() {
    const seconds = Number(this.seconds.value), hertz = Number(this.rate.value), allocations = this.allocations.checked;
    if (!this.page.link.ask({ type: 'profile', seconds, hertz, allocations })) {
      this.page.say('Not connected: nothing was asked.', true);
      return;
    }
    // Whoever takes one wants to see it.
    this.awaited = true;
    this.go.disabled = true;
    setTimeout(() => { this.go.disabled = this.taking; }, 2000);
  }

  end(keep) {
    if (!keep) this.awaited = false;
    this.page.link.ask({ type: 'stop_profile', keep });
  }

  update(view) {
    if (view.panel !== 'profiler') return;
    const may = this.page.may('trace');
    this.form.hidden = !may;
    this.barred.hidden = may;
    this.seconds.max = view.longest;
    this.allocations.disabled = !view.allocator;
    // Another start of the server may have lost it.
    if (!view.allocator) this.allocations.checked = false;
    this.missing.hidden = view.allocator;
    this.follow(view.taking, may);
    this.list(view.kept);
  }

  follow(taking, may) {
    const was = this.taking;
    this.taking = Boolean(taking);
    this.progress.hidden = !taking;
    if (was !== this.taking) this.go.disabled = this.taking;
    if (!taking) return;
    const { elapsed, lasts, reading, by } = taking;
    if (reading || !lasts) this.bar.removeAttribute('value');
    else Object.assign(this.bar, { max: lasts, value: Math.min(elapsed, lasts) });
    const time = lasts ? `${Math.min(Math.floor(elapsed), lasts)} s of ${lasts} s` : elapsed === null ? '' : `${Math.floor(elapsed)} s so far`;
    write(this.state, reading ? 'Reading symbols …' : [time, `started by ${by}`].filter(Boolean).join(', '));
    this.stop.hidden = this.discard.hidden = !may || reading;
  }

  list(kept) {
    const newest = kept[0]?.number, was = this.kept[0]?.number;
    const same = JSON.stringify(kept.map(one => one.number)) === JSON.stringify(this.kept.map(one => one.number));
    this.kept = kept;
    this.empty.hidden = kept.length > 0;
    this.chosen.hidden = !kept.length;
    if (same) return;
    const chosen = this.which.value, compared = this.before.value;
    const options = kept.map(one => [String(one.number), `#${one.number}, ${clock(one.started)}, ${duration(one.lasted)}`]);
    fill(this.which, options);
    fill(this.before, [['', 'nothing'], ...options]);
    const there = value => kept.some(one => String(one.number) === value);
    const fresh = newest !== was && (this.awaited || !there(chosen));
    this.which.value = fresh || !there(chosen) ? String(newest ?? '') : chosen;
    this.before.value = there(compared) ? compared : '';
    if (fresh) this.awaited = false;
    this.show();
  }

  /** Shows the profile that is chosen, or what changed to it. */
  show() {
    const one = this.kept.find(one => String(one.number) === this.which.value);
    if (!one) {
      this.frame.hidden = true;
      this.frame.removeAttribute('src');
      this.shown = '';
      return;
    }
    const earlier = this.before.value && this.before.value !== this.which.value ? `${this.before.value}-` : '';
    const address = `/profile/${earlier}${one.number}.html`;
    // The report tells the rest.
    write(this.facts, `started by ${one.by} · ${bytes(one.bytes)}`);
    this.away.href = address;
    for (const [end, link] of this.links) {
      link.hidden = end === 'alloc.folded' && !one.allocations;
      link.href = end === 'html' ? address : `/profile/${one.number}.${end}`;
      link.download = `${one.application || 'profile'}-${end === 'html' ? earlier : ''}${one.number}.${end}`;
    }
    // Numbers begin anew with another start of the server.
    const shown = `${address} ${one.started}`;
    if (shown === this.shown) return;
    this.shown = shown;
    this.frame.hidden = false;
    this.frame.classList.add('loading');
    this.frame.src = address;
  }

  loaded() {
    this.frame.classList.remove('loading');
  }

  paint() {
    localStorage.setItem('grapeshot-theme', document.documentElement.dataset.theme ?? '');
  }
}

function choice(label, options) {
  const element = make('select');
  element.setAttribute('aria-label', label);
  fill(element, options);
  return element;
}

function fill(select, options) {
  select.replaceChildren(...options.map(([value, text]) => {
    const option = make('option', '', text);
    option.value = value;
    return option;
  }));
}

function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString('en-GB');
}
