// The report's tables: functions, groups of coroutines, workers, wakes.
//
// `reportTables(page)` makes them all. `page`: the model, the part that is looked at, and what a table can ask for:
// `colour(group)`, `show(view, change)` opens a view of another part, `find(text)` searches the flame graph.
'use strict';

const reportTables = page => {
  const { model, part } = page, last = model.sides.length - 1;
  const time = nanos => model.format(nanos);
  // Of the half that is looked at.
  const spent = value => model.format(value, part.half);
  const bytes = value => model.format(value, 'allocated');
  const at = (row, side, key) => row.sides[side]?.[key] ?? 0;
  const sum = (rows, key) => rows.reduce((all, row) => all + at(row, last, key), 0) || 1;
  const byId = id => document.getElementById(id);
  const make = (kind, text, name) => {
    const element = document.createElement(kind);
    if (text !== undefined) element.textContent = text;
    if (name) element.className = name;
    return element;
  };
  // Long names may break between their parts.
  const parts = (element, text) => {
    text.split(/(?<=::|\/)/).forEach((part, i) => element.append(...i ? [make('wbr')] : [], part));
    return element;
  };
  const button = (text, name, act) => {
    const element = parts(make('button', undefined, name), text);
    element.type = 'button';
    if (act) element.addEventListener('click', act);
    return element;
  };
  const dot = group => {
    const square = make('i', undefined, 'dot');
    square.style.setProperty('--colour', page.colour(group));
    return square;
  };

  // Columns of a figure: as it is, and in a comparison as it was, as it is, and the change.
  function figures(key, title, form, extra = {}) {
    const text = side => row => at(row, side, key) ? form(at(row, side, key)) : '–';
    const now = { key, title, value: row => at(row, last, key), text: text(last), ...extra };
    if (!model.compares) return [now];
    const change = row => at(row, 1, key) - at(row, 0, key);
    return [
      { ...now, title: `${title} before`, key: `${key}-before`, value: row => at(row, 0, key), text: text(0), bar: undefined },
      { ...now, title: 'after', bar: undefined },
      { key: `${key}-change`, title: 'change', value: change, text: row => change(row) ? units.signed(change(row), form) : '–',
        tone: row => change(row) > 0 ? 'grown' : change(row) < 0 ? 'shrunk' : 'nothing' },
    ];
  }

  // A column of shares, of a whole that may change.
  const shares = (key, title, whole) => model.compares ? [] : [{ key: `${key}-share`, title, value: row => at(row, last, key),
    text: row => units.share(at(row, last, key) / whole()), bar: row => at(row, last, key) / whole() }];

  // ---- functions

  let ownOnly = false, all = 1, outdated = true;

  function functionRows() {
    const text = byId('function-filter').value.trim().toLowerCase(), has = name => name.toLowerCase().includes(text);
    const rows = model.functions(part).filter(row => (!ownOnly || row.own) && (!text || has(model.name(row.name)) || [...row.frames.keys()].some(frame => has(model.place(frame)))));
    all = model.weights(part)[last].nanos.reduce((sum, nanos) => sum + nanos, 0) || 1;
    return rows;
  }

  const places = row => [...row.frames].sort((a, b) => b[1] - a[1]).map(([frame, nanos]) => [model.place(frame), nanos]).filter(([place]) => place);

  // Who calls it, whom it calls, at which lines.
  function about(row) {
    const box = make('div', undefined, 'about'), { callers, callees } = model.neighbours(part.half, row), most = 12;
    const list = (title, entries) => {
      if (!entries.length) return;
      const column = make('div'), rows = make('ol');
      for (const [nanos, text] of entries.slice(0, most)) {
        const line = make('li');
        line.append(make('span', spent(nanos)), parts(make('span', undefined, 'code'), text));
        rows.append(line);
      }
      column.append(make('h3', entries.length > most ? `${title} (${most} of ${entries.length})` : title), rows);
      box.append(column);
    };
    list('Called by', callers.map(it => [it.nanos, model.name(it.name)]));
    list('Calls', callees.map(it => [it.nanos, model.name(it.name)]));
    list('At these lines', places(row).map(([place, nanos]) => [nanos, place]));
    const actions = make('div', undefined, 'actions');
    actions.append(button('Show in the flame graph', '', () => page.find(model.name(row.name))));
    box.append(actions);
    return box;
  }

  const functions = new Table(byId('functions'), {
    caption: 'Functions', sort: model.compares ? 'self-change' : 'self', rows: [], about, empty: 'No function matches.',
    columns: [
      { key: 'name', title: 'Function', kind: 'text', value: row => model.name(row.name), fill(cell, row) {
        const [place, ...others] = places(row), more = others.length;
        cell.append(button(model.name(row.name), row.own ? 'code mine' : 'code'));
        if (place) cell.append(parts(make('span', undefined, 'place'), more > 0 ? `${place[0]} and ${more} more` : place[0]));
      } },
      ...figures('self', 'Self', spent, { note: 'In the function itself' }), ...shares('self', 'Self %', () => all),
      ...figures('total', 'Total', spent, { note: 'In the function and in what it calls; recursion counts once' }), ...shares('total', 'Total %', () => all),
      ...model.compares ? [] : figures('count', 'Times', units.many, { note: 'Samples on the processor, waits, or allocations' }),
    ],
  });
  byId('function-filter').addEventListener('input', () => functions.show(functionRows()));

  // ---- groups

  const kinds = model.kinds(), shown = kinds.slice(0, 7), rest = kinds.slice(7);
  const allocatedBy = model.sides.map((_, side) => model.allocatedBy(side));
  const groupRows = model.present.map(group => ({ name: model.groups[group], group, sides: model.sides.map((side, i) => {
    const it = side.groups.find(it => it.group === group), scale = model.scale[i];
    if (!it) return {};
    const row = { allocated: allocatedBy[i][group] * scale, cpu: it.cpu * scale, coroutines: it.coroutines, switches: it.switches * scale, each: it.switches ? it.cpu / it.switches : 0, waits: 0, other: 0 };
    for (const [kind, nanos] of it.waits) {
      row.waits += nanos * scale;
      if (shown.includes(kind)) row[`wait-${kind}`] = nanos * scale;
      else row.other += nanos * scale;
    }
    return row;
  }) }));
  const waits = (key, title) => {
    const whole = sum(groupRows, key);
    return model.compares ? figures(key, title, time) : figures(key, title, time, { bar: row => at(row, last, key) / whole });
  };
  const cpu = sum(groupRows, 'cpu');

  const groups = new Table(byId('groups'), {
    caption: 'Coroutines by name', sort: model.compares ? 'cpu-change' : 'cpu', rows: groupRows,
    columns: [
      { key: 'name', title: 'Coroutines', kind: 'text', value: row => model.name(row.name), fill(cell, row) {
        const name = button(model.name(row.name), '', () => page.show('flame', { group: row.group }));
        name.title = 'Their flame graph';
        cell.append(dot(row.group), name);
      } },
      ...figures('coroutines', 'How many', units.many),
      ...figures('cpu', 'Processor', time), ...shares('cpu', 'Processor %', () => cpu),
      ...figures('switches', model.compares ? 'Switches/s' : 'Switches', units.many),
      ...figures('each', 'A switch', units.time, { note: 'Processor time from being resumed until suspending, on average' }),
      ...model.allocates ? figures('allocated', 'Allocated', bytes, { note: 'Estimated from samples' }) : [],
      ...figures('waits', 'Waited', time),
      ...shown.flatMap(kind => waits(`wait-${kind}`, model.name(kind))), ...rest.length ? waits('other', 'other waits') : [],
    ],
  });

  // ---- workers

  const workerRows = Array.from({ length: Math.max(0, ...model.sides.map(side => side.workers.length)) }, (_, number) => ({ number, sides: model.sides.map((side, i) => {
    const { busy, idle } = side.workers[number] ?? { busy: 0, idle: 0 };
    return { busy: busy * model.scale[i], idle: idle * model.scale[i], share: busy / (busy + idle || 1) };
  }) }));

  const workers = new Table(byId('workers'), {
    caption: 'Workers', sort: 'number', descending: false, rows: workerRows,
    columns: [
      { key: 'number', title: 'Worker', kind: 'text', value: row => row.number, fill(cell, row) {
        const name = button(`worker ${row.number}`, '', () => page.show('flame', { worker: row.number }));
        name.title = 'What it ran';
        cell.append(name);
      } },
      ...figures('busy', 'Busy', time), ...figures('idle', 'Idle', time), ...figures('share', 'Busy %', units.share, { bar: row => at(row, last, 'share') }),
    ],
  });

  // ---- wakes

  const wakeRows = new Map();
  model.sides.forEach((side, i) => {
    for (const { from, to, kind, times } of side.wakes) {
      const key = `${from} ${to} ${kind}`;
      if (!wakeRows.has(key)) wakeRows.set(key, { from, to, kind, sides: model.sides.map(() => ({ times: 0, rate: 0 })) });
      const row = wakeRows.get(key).sides[i];
      row.times += times;
      row.rate += times / (side.lasted || 1);
    }
  });
  const wakeList = [...wakeRows.values()], woken = sum(wakeList, 'times');
  const who = (key, title) => {
    const name = row => model.name(model.groups[row[key]]);
    return { key, title, kind: 'text', value: name, fill(cell, row) { cell.append(dot(row[key]), name(row)); } };
  };

  const wakes = new Table(byId('wakes'), {
    caption: 'Who woke whom', sort: model.compares ? 'rate-change' : 'times', rows: wakeList, empty: 'Nobody woke anybody.',
    columns: [
      who('from', 'Who woke'), who('to', 'Whom'),
      { key: 'kind', title: 'From waiting for', kind: 'text', value: row => model.name(row.kind) },
      ...model.compares ? [] : figures('times', 'Times', units.count, { bar: row => at(row, last, 'times') / woken }),
      ...figures('rate', 'A second', units.many),
    ],
  });

  return {
    functions, groups, workers, wakes,
    // Another part is looked at: what that changes is made when it is seen.
    outdate() { outdated = true; },
    renew() {
      if (outdated) functions.show(functionRows());
      outdated = false;
    },
    // Only functions of the application.
    only(own) { ownOnly = own; outdated = true; this.renew(); },
    // The page has become light, or dark.
    recolour() { groups.draw(); wakes.draw(); },
  };
};
