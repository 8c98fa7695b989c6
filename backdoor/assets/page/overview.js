// The first view: how the server does, in figures that move.

import { brief, bytes, count, duration, make, percent, write } from './format.js';
import { Spark } from './chart.js';
import { Table } from './table.js';
import { groupColumns, Loads } from './lists.js';

/** A coroutine that runs for so long without suspending holds its worker up, and for so long has held it. */
const WARM = 0.02;
const HOT = 0.2;

class Tile {
  constructor(title, spark) {
    this.value = make('b', 'value', '–');
    this.note = make('span', 'note');
    this.spark = spark;
    this.element = make('div', 'tile', make('span', 'title', title), this.value, this.note, spark.element);
  }

  show(value, note, sample) {
    write(this.value, value);
    write(this.note, note);
    if (sample !== null) this.spark.push(sample);
  }
}

export class Overview {
  name = 'overview';
  title = 'Overview';
  loads = new Loads();

  constructor(page) {
    this.page = page;
    this.tiles = {
      load: new Tile('Workers busy', new Spark(1)),
      live: new Tile('Coroutines', new Spark()),
      switches: new Tile('Switches a second', new Spark()),
      spawned: new Tile('Spawned a second', new Spark()),
      memory: new Tile('Memory', new Spark()),
      timers: new Tile('Timers armed', new Spark()),
    };
    this.alarm = make('button', 'alarm');
    this.alarm.hidden = true;
    this.alarm.addEventListener('click', () => page.show('trouble'));
    this.workers = make('div', 'workers');
    this.lines = [];
    this.table = new Table(groupColumns, {
      key: row => row.name,
      sort: { key: 'load', descending: true },
      open: row => page.show('coroutines', { group: row.name }),
      empty: 'No coroutine lives.',
    });
    const tiles = make('div', 'tiles', ...Object.values(this.tiles).map(tile => tile.element));
    this.element = make('section', 'overview', this.alarm, tiles,
      make('h2', '', 'Workers'), this.workers,
      make('h2', '', 'Groups ', make('small', '', 'coroutines of one name, numbers left out')), this.table.element);
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

  figures(now, before, seconds) {
    const rate = name => (before ? Math.max(now[name] - before[name], 0) / seconds : null);
    const resumes = figures => figures.workers.reduce((sum, worker) => sum + worker.resumes, 0);
    const loads = now.workers.map((worker, at) => load(worker, before?.workers[at], seconds));
    const known = loads.every(one => one !== null);
    const busy = known ? loads.reduce((sum, one) => sum + one, 0) : null;
    const sum = name => now.workers.reduce((all, worker) => all + worker[name], 0);
    const { tiles } = this;
    tiles.load.show(known ? percent(busy / loads.length) : '–', `of ${loads.length} ${loads.length === 1 ? 'worker' : 'workers'}`, known ? busy / loads.length : null);
    tiles.live.show(brief(now.live), `${brief(sum('ready'))} ready to run`, now.live);
    const switches = before && (resumes(now) - resumes(before)) / seconds;
    tiles.switches.show(before ? brief(switches) : '–', `${brief(resumes(now))} so far`, switches);
    const spawned = rate('spawned');
    tiles.spawned.show(before ? brief(spawned) : '–', `${brief(now.spawned)} so far, ${brief(now.panicked)} panicked`, spawned);
    tiles.memory.show(now.resident_bytes === null ? '–' : bytes(now.resident_bytes), 'resident', now.resident_bytes);
    tiles.timers.show(brief(sum('timers')), `${brief(now.timeouts)} timeouts so far`, sum('timers'));
    now.workers.forEach((worker, at) => this.worker(worker, loads[at], at));
  }

  /** What is wrong, and how much of that nobody has looked at here. */
  alarmed(summary, fresh) {
    this.alarm.hidden = !summary;
    this.alarm.classList.toggle('seen', !fresh);
    write(this.alarm, `${summary}${fresh ? `, ${count(fresh)} new` : ''}: see Trouble`);
  }

  worker(worker, share, at) {
    const line = this.lines[at] ?? this.line(at);
    write(line.load, share === null ? '–' : percent(share));
    line.bar.style.width = `${(share ?? 0) * 100}%`;
    if (share !== null) line.spark.push(share);
    const runs = worker.runs_for ?? 0;
    line.element.dataset.heat = runs > HOT ? 'hot' : runs > WARM ? 'warm' : '';
    write(line.doing, worker.running === null ? (worker.sleeping ? 'sleeps' : 'between two') : `#${worker.running} for ${duration(worker.runs_for)}`);
    line.doing.disabled = worker.running === null;
    line.id = worker.running;
    write(line.ready, count(worker.ready));
    write(line.pinned, count(worker.coroutines));
    write(line.timers, count(worker.timers));
    write(line.stolen, count(worker.stolen));
  }

  line(at) {
    const fact = title => {
      const value = make('b');
      return [value, make('span', 'fact', make('span', 'label', title), value)];
    };
    const line = { spark: new Spark(1), load: make('b', 'load'), bar: make('i'), doing: make('button', 'doing') };
    const facts = [];
    for (const [name, title] of [['ready', 'ready'], ['pinned', 'coroutines'], ['timers', 'timers'], ['stolen', 'stolen']]) {
      const [value, element] = fact(title);
      line[name] = value;
      facts.push(element);
    }
    line.doing.title = 'What it runs, and for how long that has not suspended';
    line.doing.addEventListener('click', () => line.id !== null && this.page.open(line.id));
    line.element = make('div', 'worker', make('span', 'number', String(at)), line.load, make('span', 'bar', line.bar),
      line.spark.element, line.doing, make('span', 'facts-row', ...facts));
    this.workers.append(line.element);
    this.lines[at] = line;
    return line;
  }
}

/** Which part of the time a worker did not sleep. */
function load(worker, before, seconds) {
  if (!before || !(seconds > 0)) return null;
  return Math.min(Math.max((worker.busy - before.busy) / seconds, 0), 1);
}

