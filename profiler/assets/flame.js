// A flame graph on a canvas, for any page: it needs this file and flame.css, and leaves one global, `GrapeshotFlame`.
//
//   const flame = new GrapeshotFlame(element, { format: nanos => `${nanos / 1e6} ms` });
//   flame.show(GrapeshotFlame.tree(profile, profile.on));
//
// `element` is empty and may have any width; it gets a canvas that scrolls, a tooltip, and a line for screen readers.
// Options: `format(value)` gives a value as text; `onselect(node)` hears of what is selected (null: nothing).
//
//   flame.show(tree, options)   draws a tree; options stay until they are given anew:
//       inverted   the innermost functions are at the root, their callers above them
//       upwards    the root is at the bottom
//       lines      calls from different lines of a function stand apart
//       groups     coroutines of different names stand apart
//       fold       libraries' functions that libraries called are left out: what they took is their callers'
//       compare    'after' or 'before': the tree has two profiles, of which this one gives the widths
//   flame.search(text)          highlights functions and files with it; gives the share of all, from 0 to 1
//   flame.reset()               zooms out
//   flame.nodes()               what is drawn, for tests: [{ name, value, share, depth, x, y, width, matched }]
//
// A tree is columns. Frame i: `frames.name[i]`, `frames.file[i]` (both into `names`; file may be -1), `frames.line[i]` (0: not
// known), `frames.sort[i]` (LIBRARY, OWN, WAIT or GROUP). Node i: `parent[i]` (less than i; -1 for a root), `frame[i]`,
// `self[i]` (what it weighs without its children), and in a comparison `before[i]`.
// `GrapeshotFlame.tree(profile, stacks)` makes one of the stacks of a profile (`profile.on`, `profile.off`, or some of them).
//
// Keys: arrows move, Enter zooms, Escape zooms out. Light or dark follows the element's text colour, which flame.css sets by
// `color-scheme`. Text from a tree never becomes markup. It is one file, long as it is, so that a page has but one to take.
'use strict';

const GrapeshotFlame = (() => {
  const LIBRARY = 0, OWN = 1, WAIT = 2, GROUP = 3;
  const ROW = 21;
  const LEAST = .6;         // narrower than so many pixels is not drawn one by one
  const FONT = '12px ui-sans-serif, system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif';
  const ZOOM = 180;         // ms

  // What is drawn as one box: the nodes of the tree that are the same to whoever looks. `members` has three numbers for each: the
  // node, what it weighs here, and what it weighs in the other profile of a comparison.
  class Box {
    constructor(up, frame, start) {
      Object.assign(this, { up, frame, start, depth: up ? up.depth + 1 : 0, value: 0, before: 0, members: [], parts: null });
    }
    add(node, value, before) {
      this.value += value;
      this.before += before;
      this.members.push(node, value, before);
    }
  }

  class GrapeshotFlame {
    constructor(element, options = {}) {
      this.element = element;
      this.options = { format: String, onselect() {}, ...options };
      this.tree = null;
      this.view = { from: 0, to: 1 };
      this.zoomed = this.selected = this.hovered = null;
      this.text = '';
      this.widths = new Map();
      this.build();
    }

    build() {
      this.element.classList.add('flame');
      const add = (kind, name, to) => to.appendChild(Object.assign(document.createElement(kind), { className: name }));
      this.scroller = add('div', 'flame-scroller', this.element);
      this.canvas = add('canvas', 'flame-canvas', add('div', 'flame-stage', this.scroller));
      this.filler = add('div', 'flame-filler', this.scroller);
      this.tip = add('div', 'flame-tip', this.element);
      this.tip.hidden = true;
      this.spoken = add('p', 'flame-spoken', this.element);
      this.spoken.setAttribute('aria-live', 'polite');
      this.canvas.tabIndex = 0;
      this.canvas.setAttribute('role', 'application');
      this.canvas.setAttribute('aria-roledescription', 'flame graph');
      this.canvas.setAttribute('aria-label', 'Flame graph. Arrow keys move, Enter zooms in, Escape zooms out.');
      this.context = this.canvas.getContext('2d');
      const later = () => this.later();
      new ResizeObserver(later).observe(this.scroller);
      new MutationObserver(later).observe(document.documentElement, { attributes: true });
      matchMedia('(prefers-color-scheme: dark)').addEventListener('change', later);
      this.scroller.addEventListener('scroll', later);
      this.listen();
    }

    // ---- what it shows

    show(tree, options = {}) {
      Object.assign(this.options, options);
      const kept = this.tree?.frames === tree.frames && this.zoomed ? this.path(this.zoomed) : [];
      this.tree = tree;
      this.prepare();
      this.zoomed = this.selected = this.hovered = null;
      this.tip.hidden = true;
      this.root = this.makeRoot();
      this.view = { from: 0, to: this.root.value || 1 };
      this.search(this.text);
      const box = kept.reduce((box, frame) => box && this.parts(box).find(part => this.keys[part.frame] === this.keys[frame]), this.root);
      if (kept.length && box) this.zoom(box, true);
      this.rest = true;
      this.later();
    }

    reset() { this.zoom(this.root); }

    // Totals from the leaves to the roots, and each node's children.
    prepare() {
      const { parent, self, before } = this.tree, count = parent.length;
      const sum = weights => {
        const total = Float64Array.from(weights);
        for (let i = count - 1; i >= 0; i--) if (parent[i] >= 0) total[parent[i]] += total[i];
        return total;
      };
      const compare = before && this.options.compare;
      this.own = compare === 'before' ? before : self;
      this.others = compare ? compare === 'before' ? self : before : null;
      this.total = sum(this.own);
      this.otherTotal = this.others && sum(this.others);
      this.keys = this.keyed();
      this.first = new Int32Array(count).fill(-1);
      this.next = new Int32Array(count).fill(-1);
      for (let i = count - 1; i >= 0; i--) {
        if (parent[i] < 0) continue;
        this.next[i] = this.first[parent[i]];
        this.first[parent[i]] = i;
      }
    }

    makeRoot() {
      const { parent, frame, frames } = this.tree, { groups, inverted } = this.options, root = new Box(null, -1, 0);
      const hidden = i => !groups && frames.sort[frame[i]] === GROUP;
      for (let i = 0; i < parent.length; i++) {
        const up = parent[i];
        if (up < 0) {
          root.value += this.total[i];
          root.before += this.otherTotal?.[i] ?? 0;
        }
        if (hidden(i)) continue;
        if (!inverted && (up < 0 || hidden(up))) root.members.push(i, this.total[i], this.otherTotal?.[i] ?? 0);
        if (inverted && (this.own[i] || this.others?.[i])) root.members.push(i, this.own[i], this.others?.[i] ?? 0);
      }
      return root;
    }

    // A number for each frame; frames with the same one are drawn as one.
    keyed() {
      const { name, line, file, sort } = this.tree.frames, known = new Map();
      return Int32Array.from(name, (name, i) => {
        const key = this.options.lines ? `${sort[i]} ${name} ${file[i]} ${line[i]}` : name * 4 + sort[i];
        if (!known.has(key)) known.set(key, known.size);
        return known.get(key);
      });
    }

    // The boxes on top of one, widest first; made when they are first asked for.
    parts(box) {
      if (box.parts) return box.parts;
      const { parent, frame, frames } = this.tree, { members, up } = box, { groups, inverted, fold } = this.options, found = new Map();
      const left = i => fold && up && frames.sort[box.frame] === LIBRARY && frames.sort[frame[i]] === LIBRARY;
      const put = (node, value, before) => {
        if (!value && !before) return;
        const key = this.keys[frame[node]];
        let part = found.get(key);
        if (!part) found.set(key, part = new Box(box, frame[node], 0));
        part.add(node, value, before);
      };
      const descend = node => {
        for (let i = this.first[node]; i >= 0; i = this.next[i])
          if (left(i)) descend(i);
          else put(i, this.total[i], this.otherTotal?.[i] ?? 0);
      };
      for (let m = 0; m < members.length; m += 3) {
        const node = members[m];
        if (!up) put(node, members[m + 1], members[m + 2]);
        else if (!inverted) descend(node);
        else {
          let caller = parent[node];
          while (caller >= 0 && left(caller)) caller = parent[caller];
          if (caller >= 0 && (groups || frames.sort[frame[caller]] !== GROUP)) put(caller, members[m + 1], members[m + 2]);
        }
      }
      box.parts = [...found.values()].sort((a, b) => b.value - a.value);
      let start = box.start;
      for (const part of box.parts) {
        part.start = start;
        start += part.value;
      }
      return box.parts;
    }

    path(box) {
      const keys = [];
      for (; box.up; box = box.up) keys.unshift(box.frame);
      return keys;
    }

    search(text) {
      this.text = text.trim().toLowerCase();
      this.matched = null;
      this.later();
      if (!this.text || !this.tree) return 0;
      const { names, frames, parent, frame } = this.tree;
      const has = names.map(name => name.toLowerCase().includes(this.text));
      const matched = this.matched = frames.name.map((name, i) => has[name] || (frames.file[i] >= 0 && has[frames.file[i]]));
      // What lies under a match has been counted with it.
      const under = new Uint8Array(parent.length);
      let found = 0, all = 0;
      for (let i = 0; i < parent.length; i++) {
        under[i] = matched[frame[i]] || (parent[i] >= 0 && under[parent[i]]) ? 1 : 0;
        all += this.own[i];
        if (under[i]) found += this.own[i];
      }
      return all ? found / all : 0;
    }

    // ---- drawing

    later() {
      this.due ??= requestAnimationFrame(now => {
        this.due = null;
        this.animate(now);
        this.draw();
      });
    }

    zoom(box, atOnce = false) {
      if (!box) return;
      this.zoomed = box.up ? box : null;
      const to = { from: box.start, to: box.start + (box.value || 1) };
      const still = atOnce || matchMedia('(prefers-reduced-motion: reduce)').matches;
      this.motion = still ? null : { from: { ...this.view }, to, since: performance.now() };
      if (still) this.view = to;
      this.later();
    }

    animate(now) {
      if (!this.motion) return;
      const { from, to, since } = this.motion, t = Math.min(1, Math.max(0, (now - since) / ZOOM)), eased = 1 - (1 - t) ** 3;
      const between = (a, b) => a + (b - a) * eased;
      this.view = { from: between(from.from, to.from), to: between(from.to, to.to) };
      if (t < 1) this.later();
      else { this.view = to; this.motion = null; }
    }

    draw() {
      if (!this.tree || !this.scroller.clientWidth) return;
      const width = this.wide = this.scroller.clientWidth, ratio = devicePixelRatio || 1;
      // Twice, if what can be seen has another height than what could be seen before.
      for (let pass = 0; pass < 2; pass++) {
        const height = this.high = Math.max(ROW, this.scroller.clientHeight);
        if (this.canvas.width !== Math.round(width * ratio)) this.canvas.width = Math.round(width * ratio);
        if (this.canvas.height !== Math.round(height * ratio)) this.canvas.height = Math.round(height * ratio);
        this.canvas.style.width = `${width}px`;
        this.canvas.style.height = `${height}px`;
        const c = this.context;
        c.setTransform(ratio, 0, 0, ratio, 0, 0);
        c.clearRect(0, 0, width, height);
        c.font = FONT;
        c.textBaseline = 'middle';
        this.palette = readPalette(this.element);
        this.deepest = 0;
        this.top = this.scroller.scrollTop;
        this.drawn = [];
        this.paint(this.root, width, height);
        const tall = (this.deepest + 1) * ROW;
        if (tall === this.tall && !this.rest) break;
        this.filler.style.height = `${Math.max(0, tall)}px`;
        this.tall = tall;
        if (this.rest) this.scroller.scrollTop = this.options.upwards ? tall : 0;
        this.rest = false;
      }
    }

    place(box) {
      const k = this.wide / (this.view.to - this.view.from);
      const row = this.options.upwards ? Math.max(this.tall ?? 0, this.high) - (box.depth + 1) * ROW : box.depth * ROW;
      return { x: (box.start - this.view.from) * k, y: row - this.top, width: box.value * k };
    }

    paint(box, width, height) {
      const { x, y, width: wide } = this.place(box);
      if (x + wide <= 0 || x >= width || wide < LEAST) return;
      this.deepest = Math.max(this.deepest, box.depth);
      const left = Math.max(0, x), right = Math.min(width, x + wide);
      if (y > -ROW && y < height) this.paintBox(box, left, y, right - left);
      let rest = 0, from = 0;
      for (const part of this.parts(box)) {
        const place = this.place(part);
        if (place.width < LEAST) {
          if (!rest) from = place.x;
          rest += place.width;
        } else this.paint(part, width, height);
      }
      if (rest > 1 && from < width && from + rest > 0) {
        const { y } = this.place({ depth: box.depth + 1, start: 0, value: 0 });
        this.context.fillStyle = this.palette.rest;
        this.context.fillRect(Math.max(0, from), y, Math.min(width, from + rest) - Math.max(0, from), ROW - 1);
      }
    }

    paintBox(box, x, y, width) {
      const c = this.context, matched = box.up && this.matched?.[box.frame];
      const faded = this.matched ? !matched : this.zoomed && box.depth < this.zoomed.depth;
      const inner = width > 3 ? width - 1 : Math.max(width - .4, .5);
      c.globalAlpha = faded ? .45 : 1;
      c.fillStyle = matched ? this.palette.match : this.colour(box);
      c.fillRect(x, y, inner, ROW - 1);
      c.globalAlpha = 1;
      if (box === this.selected || box === this.hovered) {
        c.strokeStyle = this.palette.ink;
        c.lineWidth = box === this.selected ? 2 : 1;
        c.strokeRect(x + 1, y + 1, Math.max(1, inner - 2), ROW - 3);
      }
      if (width > 26) {
        c.globalAlpha = faded ? .75 : 1;
        c.fillStyle = matched ? this.palette.matchInk : this.palette.ink;
        const text = this.fit(this.label(box), inner - 10);
        if (text) c.fillText(text, x + 5, y + ROW / 2);
        c.globalAlpha = 1;
      }
      this.drawn.push({ box, x, y, width });
    }

    // The longest of a label's forms that fits, or what fits of the shortest.
    fit(forms, room) {
      for (const form of forms) if (this.measure(form) <= room) return form;
      let text = forms.at(-1);
      const letters = Math.floor(text.length * room / this.measure(text)) - 1;
      text = text.slice(0, Math.max(0, letters));
      return text.length > 1 ? `${text}…` : '';
    }

    measure(text) {
      let width = this.widths.get(text);
      if (width === undefined) {
        if (this.widths.size > 20_000) this.widths.clear();
        this.widths.set(text, width = this.context.measureText(text).width);
      }
      return width;
    }

    label(box) {
      if (!box.up) return [`all: ${this.options.format(box.value)}`, 'all'];
      const { names, frames } = this.tree, name = names[frames.name[box.frame]] ?? '?';
      if (frames.sort[box.frame] >= WAIT) return [name];
      const short = GrapeshotFlame.short(name), line = frames.line[box.frame];
      const forms = [name, short, short.split('::').at(-1)];
      if (this.options.lines && line) return [`${name}:${line}`, `${short}:${line}`, forms[2]];
      return forms;
    }

    colour(box) {
      const p = this.palette;
      if (!box.up) return p.all;
      if (this.others) {
        const [before, after] = this.options.compare === 'before' ? [box.value, box.before] : [box.before, box.value];
        const whole = Math.max(this.root.value, this.root.before), change = (after - before) / Math.max(after, before, 1e-9);
        // What hardly weighs anything is not worth a colour.
        return p.change(change * Math.min(1, Math.abs(after - before) / (whole * .002 || 1)));
      }
      const { names, frames } = this.tree, name = names[frames.name[box.frame]] ?? '';
      return p.sort(frames.sort[box.frame], name);
    }

    nodes() {
      return (this.drawn ?? []).map(({ box, x, y, width }) => ({
        name: box.up ? this.tree.names[this.tree.frames.name[box.frame]] : 'all', value: box.value,
        share: box.value / this.root.value, depth: box.depth, x, y, width, matched: Boolean(box.up && this.matched?.[box.frame]) }));
    }

    // ---- mouse, finger and keys

    listen() {
      const canvas = this.canvas;
      const at = event => {
        const frame = canvas.getBoundingClientRect();
        return this.at(event.clientX - frame.left, event.clientY - frame.top);
      };
      canvas.addEventListener('pointermove', event => {
        if (event.pointerType === 'touch') return;
        this.hovered = at(event);
        canvas.style.cursor = this.hovered ? 'pointer' : '';
        this.describe(this.hovered, event.clientX, event.clientY);
        this.later();
      });
      canvas.addEventListener('pointerleave', () => {
        this.hovered = null;
        this.describe(null);
        this.later();
      });
      canvas.addEventListener('click', event => {
        const box = at(event);
        // A finger has no way to point without clicking: it selects first, and zooms then.
        const first = event.pointerType === 'touch' && box !== this.selected;
        this.select(box);
        if (box && first) this.describe(box, event.clientX, event.clientY);
        else if (box) this.zoom(box === this.zoomed ? this.root : box);
      });
      canvas.addEventListener('keydown', event => {
        if (!this.tree || event.ctrlKey || event.metaKey || event.altKey) return;
        const done = this.press(event.key);
        if (done) event.preventDefault();
      });
      canvas.addEventListener('blur', () => this.describe(null));
    }

    at(x, y) {
      const hit = this.drawn?.find(d => x >= d.x && x < d.x + d.width && y >= d.y && y < d.y + ROW);
      return hit?.box ?? null;
    }

    press(key) {
      const { upwards } = this.options, now = this.selected ?? this.zoomed ?? this.root;
      if (key === 'Enter' || key === ' ') this.zoom(now);
      else if (key === 'Escape' || key === 'Backspace') this.zoom(this.zoomed?.up ?? this.root);
      else if (key === 'Home') { this.zoom(this.root); this.pick(this.root); }
      else if (key === (upwards ? 'ArrowUp' : 'ArrowDown')) this.pick(this.parts(now)[0]);
      else if (key === (upwards ? 'ArrowDown' : 'ArrowUp')) this.pick(now.up);
      else if (key === 'ArrowLeft' || key === 'ArrowRight') {
        const among = now.up ? this.parts(now.up) : [now];
        this.pick(among[among.indexOf(now) + (key === 'ArrowLeft' ? -1 : 1)]);
      } else return false;
      return true;
    }

    // Selects a box by the keyboard: it must be on the screen, and be told.
    pick(box) {
      if (!box) return;
      this.select(box);
      const { from, to } = this.motion?.to ?? this.view;
      if (box.start < from || box.start + box.value > to) this.zoom(box.up ?? box, true);
      this.draw();
      let place = this.place(box);
      const out = place.y < 0 ? place.y : Math.max(0, place.y + ROW - this.scroller.clientHeight);
      if (out) {
        this.scroller.scrollTop += out;
        this.draw();
        place = this.place(box);
      }
      const frame = this.canvas.getBoundingClientRect();
      this.describe(box, frame.left + Math.max(0, place.x) + 12, frame.top + place.y + ROW);
      this.spoken.textContent = this.facts(box).flat().join(', ');
    }

    select(box) {
      this.selected = box;
      this.options.onselect(box && { name: this.facts(box)[0], value: box.value });
      this.later();
    }

    // What is known of a box: its name, where it is, figures.
    facts(box) {
      const { format } = this.options, share = value => `${(100 * value / (this.root.value || 1)).toFixed(1)} %`;
      if (!box.up) return ['all', '', [`${format(box.value)}`]];
      const { names, frames } = this.tree, sort = frames.sort[box.frame];
      const figures = [`${format(box.value)}, ${share(box.value)} of all`];
      if (!this.options.inverted) {
        const self = this.parts(box).reduce((rest, part) => rest - part.value, box.value);
        if (self > box.value * 1e-9 && this.parts(box).length) figures.push(`${format(self)} in itself`);
        if (box.up.up) figures.push(`${(100 * box.value / (box.up.value || 1)).toFixed(0)} % of its caller`);
      }
      if (this.others) {
        const [before, after] = this.options.compare === 'before' ? [box.value, box.before] : [box.before, box.value];
        figures.push(`${format(before)} before, ${format(after)} after`);
      }
      return [names[frames.name[box.frame]] ?? '?', sort === GROUP ? 'coroutines of this name' : this.lines(box), figures];
    }

    // The lines that a box stands for, heaviest first.
    lines(box) {
      const { names, frames, frame } = this.tree, weights = new Map();
      for (let m = 0; m < box.members.length; m += 3) {
        const i = frame[box.members[m]], value = box.members[m + 1];
        if (frames.file[i] < 0) continue;
        const line = `${names[frames.file[i]]}${frames.line[i] ? `:${frames.line[i]}` : ''}`;
        weights.set(line, (weights.get(line) ?? 0) + value);
      }
      const lines = [...weights].sort((a, b) => b[1] - a[1]), shown = lines.slice(0, 4);
      const text = shown.map(([line, weight]) => lines.length > 1 ? `${line} (${this.options.format(weight)})` : line);
      return text.join('\n') + (lines.length > 4 ? `\nand ${lines.length - 4} more lines` : '');
    }

    describe(box, x, y) {
      this.tip.hidden = !box;
      if (!box) return;
      const [name, where, figures] = this.facts(box);
      const line = (text, kind) => Object.assign(document.createElement('div'), { textContent: text, className: kind });
      this.tip.replaceChildren(line(name, 'flame-name'), ...where ? [line(where, 'flame-where')] : [], ...figures.map(f => line(f, 'flame-figure')));
      const room = this.tip.getBoundingClientRect();
      this.tip.style.left = `${Math.max(8, Math.min(x + 14, innerWidth - room.width - 8))}px`;
      this.tip.style.top = `${y + 18 + room.height > innerHeight ? Math.max(8, y - room.height - 14) : y + 18}px`;
    }

    // ---- trees

    static tree(profile, stacks) {
      const names = [...profile.strings], known = new Map(), name = text => {
        if (!known.has(text)) known.set(text, names.push(text) - 1);
        return known.get(text);
      };
      const frames = {
        name: profile.frames.map(f => f.function), file: profile.frames.map(f => f.file ?? -1),
        line: profile.frames.map(f => f.line ?? 0), sort: profile.frames.map(f => f.own ? OWN : LIBRARY) };
      const extra = new Map(), tree = { names, frames, parent: [], frame: [], self: [] }, nodes = new Map();
      const special = (sort, text) => {
        const key = `${sort} ${text}`;
        if (!extra.has(key)) {
          extra.set(key, frames.name.push(name(text)) - 1);
          frames.file.push(-1);
          frames.line.push(0);
          frames.sort.push(sort);
        }
        return extra.get(key);
      };
      for (const stack of stacks) {
        const group = profile.groups[stack.group];
        const all = [special(GROUP, profile.strings[group?.name] ?? '?'), ...stack.frames];
        if (stack.kind != null) all.push(special(WAIT, profile.strings[stack.kind] ?? '?'));
        let node = -1;
        for (const frame of all) {
          const key = `${node} ${frame}`;
          let next = nodes.get(key);
          if (next === undefined) {
            nodes.set(key, next = tree.parent.push(node) - 1);
            tree.frame.push(frame);
            tree.self.push(0);
          }
          node = next;
        }
        tree.self[node] += stack.nanos;
      }
      return tree;
    }

    // `<a::b::C<T> as d::E>::f::<u8>` in short: `C::f`.
    static short(name) {
      let text = name.replace(/->/g, '→');
      // What a leading `<…>` is of: the type, not the trait.
      if (text.startsWith('<')) {
        let depth = 0, as = -1, end = 0;
        for (; end < text.length; end++) {
          if (text[end] === '<') depth++;
          else if (text[end] === '>' && !--depth) break;
          else if (depth === 1 && as < 0 && text.startsWith(' as ', end)) as = end;
        }
        text = text.slice(1, as < 0 ? end : as) + text.slice(end + 1);
      }
      let plain = '', depth = 0;
      for (const letter of text) {
        if (letter === '<') depth++;
        else if (letter === '>') depth = Math.max(0, depth - 1);
        else if (!depth) plain += letter;
      }
      plain = plain.replace(/::\{\{?closure(#\d+)?\}?\}/g, '{…}');
      return plain.split('::').filter(Boolean).slice(-2).join('::') || name;
    }
  }

  // ---- colours

  const hash = text => {
    let h = 2166136261;
    for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 16777619);
    return (h >>> 8) / 2 ** 24;
  };

  // flame.css says what text has for a colour; light text means a dark page.
  function readPalette(element) {
    const style = getComputedStyle(element), ink = style.getPropertyValue('color');
    const [r, g, b] = ink.match(/[\d.]+/g).map(Number), dark = r + g + b > 382;
    const light = (day, night) => dark ? night : day;
    const shade = (l, c, h) => `oklch(${l.toFixed(3)} ${c.toFixed(3)} ${h.toFixed(0)})`;
    const crate = name => name.replace(/^[<&]+(dyn )?/, '').split('::')[0];
    const colours = new Map();
    return {
      ink, all: light('#dcd9e4', '#34313f'), rest: light('#e6e3ec', '#2a2833'), match: light('#f26bb5', '#f58ac6'), matchInk: '#2a0619',
      sort(sort, name) {
        const key = `${sort}${name}`;
        let colour = colours.get(key);
        if (colour) return colour;
        const h = hash(name), base = sort === LIBRARY ? hash(crate(name)) : 0;
        if (sort === OWN) colour = shade(light(.80, .47) + h * .05, light(.115, .105), 40 + h * 38);
        else if (sort === WAIT) colour = shade(light(.80, .44), .11, 300 + h * 30);
        else if (sort === GROUP) colour = shade(light(.84, .42), .075, 150 + h * 25);
        else colour = shade(light(.87, .37) + h * .03, .022 + base * .02, 215 + base * 60);
        colours.set(key, colour);
        return colour;
      },
      change(t) {
        const s = Math.abs(t) ** .6;
        return shade(light(.89, .36) - light(.14, -.12) * s, .005 + .14 * s, t > 0 ? 27 : 252);
      },
    };
  }

  return Object.assign(GrapeshotFlame, { LIBRARY, OWN, WAIT, GROUP });
})();
