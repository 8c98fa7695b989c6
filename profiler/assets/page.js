// The report's page: what is chosen, and the views that show it.
'use strict';

const report = (() => {
  const $ = id => document.getElementById(id);
  const make = (kind, text, name) => {
    const element = document.createElement(kind);
    if (text !== undefined) element.textContent = text;
    if (name) element.className = name;
    return element;
  };
  const model = new Model(JSON.parse($('data').textContent));
  const part = { half: 'on', group: -1, worker: -1, kind: -1 };
  const drawn = { inverted: false, upwards: false, lines: false, groups: false, fold: false, compare: model.compares ? 'after' : undefined };
  const nanosOf = half => half.nanos.reduce((sum, nanos) => sum + nanos, 0);

  // ---- colours of groups, by what they took of the processor

  const HUES = [292, 55, 195, 145, 20, 250, 95, 340];
  const ranks = new Map(model.main.groups.filter(it => model.present.includes(it.group)).sort((a, b) => b.cpu - a.cpu).map((group, rank) => [group.group, rank]));
  function groupColour(group, dark) {
    const rank = ranks.get(group) ?? HUES.length;
    return rank < HUES.length ? `oklch(${dark ? .68 : .66} .14 ${HUES[rank]})` : dark ? '#6d697a' : '#a39eb0';
  }
  const isDark = () => getComputedStyle(document.body).color.match(/[\d.]+/g).map(Number)[0] > 127;

  // ---- the head

  function tile(title, figure, note, gauge) {
    const box = make('div');
    box.append(make('dt', title), make('dd', figure), make('dd', note));
    if (gauge !== undefined) {
      const bar = make('div', undefined, 'gauge');
      bar.append(make('i'));
      bar.style.setProperty('--share', `${Math.min(100, 100 * gauge).toFixed(1)}%`);
      box.append(bar);
    }
    $('tiles').append(box);
  }

  function warn(text) {
    $('warning').append(make('p', text));
    $('warning').hidden = false;
  }

  function head() {
    const { sides, main } = model, day = side => new Date(side.started * 1000).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
    const rate = side => side.hertz ? `${units.count(side.hertz)} samples/s` : 'not sampled';
    $('application').textContent = main.application || 'A program';
    $('when').textContent = model.compares
      ? sides.map((side, i) => `${i ? 'after' : 'before'}: ${day(side)}, ${units.time(side.lasted * 1e9)}, ${rate(side)}`).join(' · ')
      : `${day(main)} · ${units.time(main.lasted * 1e9)} · ${rate(main)} · ${units.count(main.workers.length)} ${main.workers.length === 1 ? 'worker' : 'workers'}`;
    const sum = (list, what) => list.reduce((total, it) => total + what(it), 0);
    const figures = sides.map(side => {
      const busy = sum(side.workers, w => w.busy), all = busy + sum(side.workers, w => w.idle);
      return { busy, all, cpu: sum(side.groups, g => g.coroutines ? g.cpu : 0), waited: sum(side.groups, g => sum(g.waits, w => w[1])), waits: sum(side.groups, g => sum(g.waits, w => w[2])),
        coroutines: sum(side.groups, g => g.coroutines), switches: sum(side.groups, g => g.switches) };
    });
    const now = figures.at(-1), was = model.compares ? figures[0] : null;
    // In a comparison a note says how it was before.
    const note = (text, before) => was ? `before: ${before(was, sides[0])}` : text;
    tile('Workers busy', units.share(now.busy / (now.all || 1)), note(`${units.time(now.busy)} of ${units.time(now.all)}`, f => units.share(f.busy / (f.all || 1))), now.busy / (now.all || 1));
    tile('Coroutines ran', units.time(now.cpu), note('measured at each switch', f => units.time(f.cpu)));
    if (model.main.samples || !main.hertz)
      tile('Samples', units.count(main.samples), note(main.hertz ? `at ${units.count(main.hertz)} a second` : 'sampling was off', (f, side) => units.count(side.samples)));
    else tile('Samples', '0', 'at no time did a coroutine run');
    tile('Time waited', units.time(now.waited), note(`in ${units.many(now.waits)} waits`, f => units.time(f.waited)));
    tile('Coroutines', units.many(now.coroutines), note(`in ${units.count(main.groups.filter(it => it.coroutines).length)} groups`, f => units.many(f.coroutines)));
    tile('Switches', units.many(now.switches), note(`${units.many(now.switches / (main.lasted || 1))} a second`, f => units.many(f.switches)));
    const taken = main.samples + main.lost.samples;
    if (model.allocates) {
      const allocated = sides.map((_, i) => sum([...model.allocatedBy(i)], it => it));
      tile('Allocated', units.bytes(allocated.at(-1)), note(`estimated from ${units.many(main.allocations)} samples`, (f, side) => units.bytes(allocated[sides.indexOf(side)])));
    }
    const losses = [[main.lost.samples, 'samples'], [main.lost.allocations, 'samples of allocations'], [main.lost.events, 'events']].filter(([lost]) => lost);
    const lost = sum(losses, it => it[0]);
    tile('Lost', lost ? units.many(lost) : 'nothing', lost ? losses.map(([lost, what]) => `${units.many(lost)} ${what}`).join(', ') : 'every sample and event is here');
    tile('The profiler took', units.time(main.cost.nanos), `${units.share(main.cost.nanos / ((now.busy || now.cpu) || 1))} of busy time`);
    const partial = taken && main.lost.samples / taken > .01;
    const seen = main.allocations + main.lost.allocations;
    if (seen && main.lost.allocations / seen > .01)
      warn(`${units.count(main.lost.allocations)} samples of allocations (${units.share(main.lost.allocations / seen)}) were lost for want of room: so much more was allocated. Sample fewer: one in more bytes.`);
    if (partial || main.lost.events > 0) {
      const what = [main.lost.samples ? `${units.count(main.lost.samples)} samples (${units.share(main.lost.samples / (taken || 1))})` : '', main.lost.events ? `${units.count(main.lost.events)} events` : ''].filter(Boolean);
      warn(`${what.join(' and ')} were lost for want of room: shares are those of what was kept.`);
    }
    const sampled = nanosOf(model.on);
    if (!was && main.hertz && sampled && sampled < now.cpu / 2)
      warn(`Coroutines had their workers for ${units.time(now.cpu)}, and the processor worked ${units.time(sampled)} of that: the rest of the time other programs had it.`);
    for (const text of main.notes) warn(text);
    $('foot').textContent = `Made by Grapeshot's profiler. Processor time and waits of coroutines are measured at each switch; functions on the processor are sampled${model.allocates ? ', and so are allocations' : ''}.`
      + (model.compares ? ' Times of the comparison are per second of each profile.' : '');
  }

  // ---- light and dark

  function theme() {
    const button = $('theme'), names = { '': '◐ System', light: '☼ Light', dark: '☾ Dark' }, order = ['', 'light', 'dark'];
    const remembered = () => { try { return localStorage.getItem('grapeshot-theme') ?? ''; } catch { return ''; } };
    const set = value => {
      if (value) document.documentElement.dataset.theme = value;
      else delete document.documentElement.dataset.theme;
      button.textContent = names[value] ?? names[''];
      button.setAttribute('aria-label', `Theme: ${value || 'as the system'}`);
      colours();
    };
    button.addEventListener('click', () => {
      const next = order[(order.indexOf(document.documentElement.dataset.theme ?? '') + 1) % order.length];
      try { localStorage.setItem('grapeshot-theme', next); } catch { /* A page from a file may have no storage. */ }
      set(next);
    });
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', colours);
    // Another page of the same origin chose another: one that frames this report, or a report beside it.
    addEventListener('storage', event => { if (event.key === 'grapeshot-theme') set(order.includes(remembered()) ? remembered() : ''); });
    set(order.includes(remembered()) ? remembered() : '');
  }

  // What has colours that are no part of the style sheet.
  function colours() {
    legends();
    tables.recolour();
  }

  function legend(to, entries, ...more) {
    $(to).replaceChildren(...entries.map(([text, colour]) => {
      const entry = make('span'), square = make('i');
      square.style.setProperty('--colour', colour);
      entry.append(square, text);
      return entry;
    }), ...more);
  }

  function keys(text) {
    const entry = make('span', undefined, 'keys');
    // In the text every other piece is a key.
    text.split('|').forEach((piece, i) => entry.append(i % 2 ? make('kbd', piece) : piece));
    return entry;
  }

  function legends() {
    const dark = isDark(), c = (day, night) => dark ? night : day, use = keys('click or |Enter| zooms, |Esc| zooms out, arrows move, |/| searches');
    if (model.compares) legend('legend', [['more than before', c('oklch(.75 .145 27)', 'oklch(.48 .145 27)')], ['less than before', c('oklch(.75 .145 252)', 'oklch(.48 .145 252)')], ['the same', c('oklch(.89 .005 252)', 'oklch(.36 .005 252)')]], use);
    else legend('legend', [['own code', c('oklch(.82 .115 58)', 'oklch(.49 .105 58)')], ['libraries', c('oklch(.88 .03 240)', 'oklch(.385 .03 240)')],
      ...part.half === 'off' ? [['what it waits for', c('oklch(.80 .11 315)', 'oklch(.44 .11 315)')]] : [], ...drawn.groups ? [['coroutines', c('oklch(.84 .075 160)', 'oklch(.42 .075 160)')]] : []], use);
    const first = [...ranks].slice(0, HUES.length);
    legend('timeline-legend', [...first.map(([group]) => [model.name(model.groups[group]), groupColour(group, dark)]), ...ranks.size > HUES.length ? [['others', groupColour(-1, dark)]] : []],
      keys('|Ctrl| and wheel or |+| |−| zooms, drag or |Shift| and arrows pans, a click shows one coroutine'));
  }

  // ---- which part

  const flame = new GrapeshotFlame($('flame'), { format: value => model.format(value, part.half) });
  const tables = reportTables({
    model, part, colour: group => groupColour(group, isDark()),
    show(view, change) { choose(change); open(view); },
    find(text) { $('search').value = text; found(); open('flame'); },
  });

  function options(select, all, entries, chosen) {
    select.replaceChildren(new Option(all, -1), ...entries.map(([text, value]) => new Option(text, value)));
    select.value = chosen;
  }

  function choose(change) {
    Object.assign(part, change);
    if (part.half !== 'off') part.kind = -1;
    // What allocates may be no worker.
    if (part.half === 'allocated') part.worker = -1;
    for (const button of $('half').children) button.setAttribute('aria-pressed', button.dataset.half === part.half);
    for (const which of ['group', 'worker', 'kind']) $(which).value = part[which];
    $('kind-label').hidden = part.half !== 'off';
    $('worker-label').hidden = part.half === 'allocated';
    flame.show(model.tree(part), drawn);
    found();
    tables.outdate();
    if (!$('view-functions').hidden) tables.renew();
    legends();
  }

  function parts() {
    for (const [half, text] of [['on', 'On the processor'], ['off', 'Waiting'], ...model.allocates ? [['allocated', 'Allocated']] : []]) {
      const button = make('button', text);
      button.type = 'button';
      button.dataset.half = half;
      button.addEventListener('click', () => choose({ half }));
      $('half').append(button);
    }
    options($('group'), 'all', model.present.map(i => [model.name(model.groups[i]), i]), -1);
    const most = Math.max(...model.sides.map(side => side.workers.length));
    options($('worker'), 'all', Array.from({ length: most }, (_, i) => [String(i), i]), -1);
    options($('kind'), 'anything', model.kinds().map(kind => [model.name(kind), kind]), -1);
    for (const which of ['group', 'worker', 'kind']) $(which).addEventListener('change', () => choose({ [which]: Number($(which).value) }));
  }

  function flip(to, entries, changed) {
    for (const [key, text, about] of entries) {
      const label = make('label'), box = make('input');
      box.type = 'checkbox';
      box.id = `switch-${key}`;
      label.title = about;
      label.append(box, text);
      box.addEventListener('change', () => changed(key, box.checked));
      $(to).append(label);
    }
  }

  function found() {
    const share = flame.search($('search').value);
    $('found').textContent = $('search').value.trim() ? share ? `${units.share(share)} of all` : 'not found' : '';
  }

  function flames() {
    flip('switches', [['inverted', 'Inverted', 'The innermost functions come first, and who called them follows'], ['upwards', 'Upwards', 'The outermost function is at the bottom'],
      ['lines', 'Lines', 'Calls from different lines stand apart'], ['groups', 'By coroutine', 'Coroutines of different names stand apart'], ['fold', 'Fold libraries', 'Leaves out what libraries call, but for own code'],
      ...model.compares ? [['before', 'Widths of before', 'Shows what there is no more']] : []], (key, on) => {
      if (key === 'before') drawn.compare = on ? 'before' : 'after';
      else drawn[key] = on;
      flame.show(model.tree(part), drawn);
      legends();
    });
    $('search').addEventListener('input', found);
    $('zoom-out').addEventListener('click', () => flame.reset());
    document.addEventListener('keydown', event => {
      if (event.key !== '/' || event.target.matches('input, select')) return;
      event.preventDefault();
      open('flame');
      $('search').focus();
    });
  }

  // ---- the timeline

  let timeline = null;
  function time() {
    const slices = model.timeline, ends = Math.max(model.main.lasted * 1e9, slices.to.reduce((a, b) => Math.max(a, b), 0), 1);
    const byKey = (key, only) => {
      const lists = new Map();
      slices.from.forEach((_, i) => {
        if (only !== undefined && slices.group[i] !== only) return;
        const it = slices[key][i];
        if (!lists.has(it)) lists.set(it, []);
        lists.get(it).push(i);
      });
      return lists;
    };
    const ran = list => list.reduce((sum, i) => sum + slices.to[i] - slices.from[i], 0);
    const workers = [...byKey('worker')].sort((a, b) => a[0] - b[0]).map(([worker, slices]) => ({ title: `worker ${worker}`, slices, high: 26 }));
    if (workers.length) workers.at(-1).last = true;
    const MOST = 500;
    const lanes = () => {
      const which = $('lanes').value, group = Number(which);
      if (which === 'groups')
        return [...workers, ...[...byKey('group')].sort((a, b) => ran(b[1]) - ran(a[1])).slice(0, MOST).map(([group, slices]) => ({ title: model.name(model.groups[group]), slices, high: 20 }))];
      const all = [...byKey('coroutine', group)].map(([id, slices]) => ({ title: `coroutine ${model.coroutines[id]}`, slices, high: 16, ran: ran(slices) }));
      return [...workers, ...all.sort((a, b) => b.ran - a.ran).slice(0, MOST)];
    };
    options($('lanes'), 'groups', [...ranks.keys()].filter(group => slices.group.includes(group)).map(group => [`each of ${model.name(model.groups[group])}`, group]), -1);
    $('lanes').options[0].value = 'groups';
    $('lanes').value = 'groups';
    const busy = model.main.workers.reduce((sum, w) => sum + w.busy, 0), kept = slices.from.reduce((sum, from, i) => sum + slices.to[i] - from, 0);
    $('timeline-hint').textContent = slices.from.length ? `${units.count(slices.from.length)} slices${busy && kept < busy * .98 ? `, ${units.share(kept / busy)} of the busy time` : ''}` : 'No slices were recorded.';
    timeline = new Timeline($('timeline'), {
      slices, ends, lanes, colour: groupColour,
      describe: i => [`${model.name(model.groups[slices.group[i]])}, coroutine ${model.coroutines[slices.coroutine[i]]}`, `ran ${units.time(slices.to[i] - slices.from[i])} on worker ${slices.worker[i]}`,
        `from ${units.time(slices.from[i])} to ${units.time(slices.to[i])}`],
    });
    $('lanes').addEventListener('change', () => timeline.relay());
    $('closer').addEventListener('click', () => timeline.zoom(.5));
    $('farther').addEventListener('click', () => timeline.zoom(2));
    $('whole').addEventListener('click', () => timeline.look(0, ends));
  }

  // ---- tabs

  const VIEWS = [['flame', 'Flame graph'], ['functions', 'Functions'], ['groups', 'Coroutines', () => model.present.length], ['workers', 'Workers', () => model.main.workers.length],
    ['wakes', 'Wakes'], ...model.compares ? [] : [['timeline', 'Timeline']]];

  function open(view) {
    for (const [name] of VIEWS) {
      const tab = $(`tab-${name}`), here = name === view;
      tab.setAttribute('aria-selected', here);
      tab.tabIndex = here ? 0 : -1;
      $(`view-${name}`).hidden = !here;
      if (here) tab.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    }
    if (view === 'functions') tables.renew();
    $('part').hidden = view !== 'flame' && view !== 'functions';
    history.replaceState(null, '', `#view=${view}`);
  }

  function tabs() {
    VIEWS.forEach(([name, title, count], i) => {
      const tab = make('button', title);
      tab.id = `tab-${name}`;
      tab.type = 'button';
      tab.setAttribute('role', 'tab');
      tab.setAttribute('aria-controls', `view-${name}`);
      $(`view-${name}`).setAttribute('aria-labelledby', tab.id);
      if (count) tab.append(make('small', units.count(count())));
      tab.addEventListener('click', () => open(name));
      tab.addEventListener('keydown', event => {
        const to = { ArrowRight: i + 1, ArrowLeft: i - 1, Home: 0, End: VIEWS.length - 1 }[event.key];
        if (to === undefined) return;
        event.preventDefault();
        const [next] = VIEWS[(to + VIEWS.length) % VIEWS.length];
        open(next);
        $(`tab-${next}`).focus();
      });
      $('tabs').append(tab);
    });
    const asked = location.hash.replace('#view=', '');
    open(VIEWS.some(([name]) => name === asked) ? asked : 'flame');
  }

  head();
  parts();
  flames();
  flip('function-switches', [['own', 'Own code only', 'Leaves out libraries']], (_, on) => tables.only(on));
  if (!model.compares) time();
  theme();
  choose({ half: nanosOf(model.on) || !nanosOf(model.off) ? 'on' : 'off' });
  tabs();
  return { model, part, flame, tables, timeline, open, choose };
})();
