// Who ran when: a lane for each worker, and one for each group of coroutines, or for each coroutine of a group.
//
//   new Timeline(element, { slices, lanes, ends, colour, describe })
//
// `slices` are columns, by `from`: worker, coroutine, group, from, to (ns). `lanes()` gives [{ title, slices: [index…], high }];
// `describe(slice)` gives lines of text, `colour(group, dark)` a colour. `ends` is the length of it all in ns.
'use strict';

const Timeline = (() => {
  const OVERVIEW = 44, AXIS = 22, TOP = OVERVIEW + AXIS + 6;
  const FONT = '12px ui-sans-serif, system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif';
  const LEAST = 1_000;      // ns: closer nobody needs to look

  return class Timeline {
    constructor(element, options) {
      Object.assign(this, options, { element, from: 0, to: options.ends, hovered: -1, chosen: -1, lane: 0, fingers: new Map() });
      const add = (kind, name, to) => to.appendChild(Object.assign(document.createElement(kind), { className: name }));
      this.scroller = add('div', 'flame-scroller timeline', element);
      this.canvas = add('canvas', 'flame-canvas', add('div', 'flame-stage', this.scroller));
      this.filler = add('div', 'flame-filler', this.scroller);
      this.tip = add('div', 'flame-tip', element);
      this.tip.hidden = true;
      this.spoken = add('p', 'flame-spoken', element);
      this.spoken.setAttribute('aria-live', 'polite');
      this.canvas.tabIndex = 0;
      this.canvas.setAttribute('role', 'application');
      this.canvas.setAttribute('aria-roledescription', 'timeline');
      this.canvas.setAttribute('aria-label', 'Timeline. Plus and minus zoom, Shift with arrow keys pans, arrow keys go from slice to slice and from lane to lane, Escape shows all.');
      this.context = this.canvas.getContext('2d');
      const later = () => this.later();
      new ResizeObserver(later).observe(this.scroller);
      new MutationObserver(later).observe(document.documentElement, { attributes: true });
      matchMedia('(prefers-color-scheme: dark)').addEventListener('change', later);
      this.scroller.addEventListener('scroll', later);
      this.listen();
      this.relay();
    }

    // Lanes have changed.
    relay() {
      const { from, to } = this.slices;
      this.rows = this.lanes();
      let y = TOP;
      for (const row of this.rows) {
        row.y = y;
        y += row.high + (row.last ? 14 : 3);
        // Slices that began so long before may still go on.
        row.longest = row.slices.reduce((most, i) => Math.max(most, to[i] - from[i]), 0);
      }
      this.tall = y + 4;
      this.filler.style.height = `${this.tall}px`;
      this.lane = Math.min(this.lane, Math.max(0, this.rows.length - 1));
      this.later();
    }

    look(from, to) {
      const span = Math.min(this.ends, Math.max(LEAST, to - from)), middle = (from + to) / 2;
      this.from = Math.max(0, Math.min(this.ends - span, middle - span / 2));
      this.to = this.from + span;
      this.later();
    }

    // By a factor, around a time that stays where it is.
    zoom(factor, at = (this.from + this.to) / 2) {
      const span = Math.min(this.ends, Math.max(LEAST, (this.to - this.from) * factor));
      const from = at - span * (at - this.from) / (this.to - this.from);
      this.look(from, from + span);
    }

    pan(part) {
      const by = (this.to - this.from) * part;
      this.look(this.from + by, this.to + by);
    }

    later() {
      this.due ??= requestAnimationFrame(() => { this.due = null; this.draw(); });
    }

    // ---- drawing

    draw() {
      const width = this.wide = this.scroller.clientWidth, height = this.scroller.clientHeight, ratio = devicePixelRatio || 1;
      if (!width || !height) return;
      this.gutter = width < 560 ? 84 : 150;
      if (this.canvas.width !== Math.round(width * ratio)) this.canvas.width = Math.round(width * ratio);
      if (this.canvas.height !== Math.round(height * ratio)) this.canvas.height = Math.round(height * ratio);
      this.canvas.style.width = `${width}px`;
      this.canvas.style.height = `${height}px`;
      const c = this.context;
      this.ink = getComputedStyle(this.element).color;
      const [r, g, b] = this.ink.match(/[\d.]+/g).map(Number);
      this.dark = r + g + b > 382;
      this.dim = this.dark ? '#a6a0b6' : '#5d586b';
      this.faint = this.dark ? '#ffffff12' : '#1c1a240d';
      this.accent = this.dark ? '#b79cf5' : '#6d3fc4';
      c.setTransform(ratio, 0, 0, ratio, 0, 0);
      c.clearRect(0, 0, width, height);
      c.font = FONT;
      c.textBaseline = 'middle';
      c.save();
      c.beginPath();
      c.rect(0, TOP, width, height - TOP);
      c.clip();
      this.grid(c, TOP, height);
      for (const [i, row] of this.rows.entries()) {
        const y = row.y - this.scroller.scrollTop;
        if (y + row.high > TOP && y < height) this.drawLane(c, row, y, i === this.lane && document.activeElement === this.canvas);
      }
      c.restore();
      this.overview(c);
      this.axis(c);
    }

    x(time) { return this.gutter + (time - this.from) * (this.wide - this.gutter) / (this.to - this.from); }

    time(x) { return this.from + (x - this.gutter) * (this.to - this.from) / (this.wide - this.gutter); }

    // The first slice of a lane that may still be seen.
    first(row, time) {
      const { from } = this.slices, least = time - row.longest;
      let low = 0, high = row.slices.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (from[row.slices[middle]] < least) low = middle + 1;
        else high = middle;
      }
      return low;
    }

    drawLane(c, row, y, current) {
      const { from, to, group, coroutine } = this.slices, right = this.wide - this.gutter;
      c.fillStyle = this.faint;
      c.fillRect(this.gutter, y, right, row.high);
      c.fillStyle = current ? this.ink : this.dim;
      c.fillText(this.cut(row.title, this.gutter - 14), 4, y + row.high / 2);
      // Slices narrower than a pixel share it: how much of it is covered says how strong it is.
      const covered = new Float32Array(right + 2), whose = new Int32Array(right + 2);
      const pale = this.chosen >= 0, k = right / (this.to - this.from);
      const mark = [];
      for (let n = this.first(row, this.from); n < row.slices.length; n++) {
        const i = row.slices[n];
        if (from[i] > this.to) break;
        const a = Math.max(0, (from[i] - this.from) * k), b = Math.min(right, (to[i] - this.from) * k);
        if (b <= 0) continue;
        if (i === this.hovered || (pale && coroutine[i] === this.chosen)) mark.push([a, Math.max(1.5, b - a), group[i]]);
        if (b - a >= 1.5) {
          c.globalAlpha = pale ? .22 : 1;
          c.fillStyle = this.colour(group[i], this.dark);
          c.fillRect(this.gutter + a, y, Math.max(1, b - a - (b - a > 4 ? .6 : 0)), row.high);
        } else {
          const pixel = Math.floor(a);
          covered[pixel] += b - a;
          whose[pixel] = group[i];
        }
      }
      for (let x = 0; x < right; x++) {
        if (!covered[x]) continue;
        c.globalAlpha = (pale ? .22 : 1) * Math.min(1, .2 + .8 * covered[x]);
        c.fillStyle = this.colour(whose[x], this.dark);
        c.fillRect(this.gutter + x, y, 1, row.high);
      }
      c.globalAlpha = 1;
      for (const [a, wide, whose] of mark) {
        c.fillStyle = this.colour(whose, this.dark);
        c.fillRect(this.gutter + a, y, wide, row.high);
        c.strokeStyle = this.ink;
        c.lineWidth = 1.5;
        if (wide > 4 || !pale) c.strokeRect(this.gutter + a + .75, y + .75, Math.max(1, wide - 1.5), row.high - 1.5);
      }
    }

    cut(text, room) {
      if (this.context.measureText(text).width <= room) return text;
      let end = text.length;
      while (end > 1 && this.context.measureText(`${text.slice(0, end)}…`).width > room) end--;
      return `${text.slice(0, end)}…`;
    }

    ticks() {
      const wanted = (this.to - this.from) / Math.max(2, (this.wide - this.gutter) / 110), power = 10 ** Math.floor(Math.log10(wanted));
      const step = [1, 2, 5, 10].map(n => n * power).find(n => n >= wanted), ticks = [];
      for (let t = Math.ceil(this.from / step) * step; t <= this.to; t += step) ticks.push(t);
      return { ticks, step };
    }

    grid(c, top, height) {
      c.fillStyle = this.faint;
      for (const t of this.ticks().ticks) c.fillRect(Math.round(this.x(t)), top, 1, height - top);
    }

    axis(c) {
      const { ticks, step } = this.ticks(), y = OVERVIEW + AXIS / 2;
      const [unit, size] = step >= 1e9 ? ['s', 1e9] : step >= 1e6 ? ['ms', 1e6] : step >= 1e3 ? ['µs', 1e3] : ['ns', 1];
      // Seconds are read as seconds even if the steps are smaller.
      const text = t => t >= 1e9 || step >= 1e8 ? `${(t / 1e9).toFixed(Math.max(0, 9 - Math.floor(Math.log10(step))))} s` : `${Math.round(t / size)} ${unit}`;
      c.fillStyle = this.dim;
      for (const t of ticks) {
        const x = this.x(t), wide = c.measureText(text(t)).width;
        if (x + wide / 2 < this.wide && x - wide / 2 > this.gutter - 30) c.fillText(text(t), x - wide / 2, y);
      }
    }

    // How busy it was over all the time, and which part of that is looked at.
    overview(c) {
      const right = Math.max(1, this.wide - this.gutter), bottom = OVERVIEW - 4;
      if (this.busy?.length !== right) {
        const { from, to } = this.slices;
        this.busy = new Float32Array(right);
        for (let i = 0; i < from.length; i++) {
          const a = from[i] / this.ends * right, b = Math.min(right, to[i] / this.ends * right);
          for (let x = Math.floor(a); x < b; x++) this.busy[x] += Math.min(b, x + 1) - Math.max(a, x);
        }
      }
      const most = this.busy.reduce((a, b) => Math.max(a, b), .001);
      c.fillStyle = this.dim;
      c.fillText('load', 4, bottom / 2 + 2);
      c.fillStyle = this.faint;
      c.fillRect(this.gutter, 4, right, bottom - 4);
      c.fillStyle = this.accent;
      c.globalAlpha = .55;
      c.beginPath();
      c.moveTo(this.gutter, bottom);
      this.busy.forEach((busy, x) => c.lineTo(this.gutter + x, bottom - busy / most * (bottom - 8)));
      c.lineTo(this.wide, bottom);
      c.fill();
      c.globalAlpha = 1;
      const a = this.gutter + this.from / this.ends * right, b = this.gutter + this.to / this.ends * right;
      if (this.to - this.from < this.ends * .999) {
        c.fillStyle = this.dark ? '#18171fb0' : '#ffffffb0';
        c.fillRect(this.gutter, 4, a - this.gutter, bottom - 4);
        c.fillRect(b, 4, this.wide - b, bottom - 4);
        c.strokeStyle = this.accent;
        c.lineWidth = 1.5;
        c.strokeRect(a, 4, Math.max(2, b - a), bottom - 4);
      }
    }

    // ---- mouse, finger and keys

    listen() {
      const canvas = this.canvas, place = event => {
        const frame = canvas.getBoundingClientRect();
        return { x: event.clientX - frame.left, y: event.clientY - frame.top };
      };
      canvas.addEventListener('wheel', event => {
        const { x } = place(event);
        if (event.ctrlKey || event.metaKey || event.altKey) this.zoom(1.0018 ** event.deltaY, this.time(x));
        else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) this.pan((event.deltaX || event.deltaY) / this.wide);
        else return;
        event.preventDefault();
      }, { passive: false });
      canvas.addEventListener('pointerdown', event => {
        const at = place(event);
        this.fingers.set(event.pointerId, at);
        this.grip = { at, from: this.from, to: this.to, moved: false, overview: at.y < OVERVIEW, start: this.overviewTime(at.x) };
        canvas.setPointerCapture(event.pointerId);
      });
      canvas.addEventListener('pointermove', event => {
        const at = place(event), before = this.fingers.get(event.pointerId);
        if (!before) return event.pointerType === 'touch' || this.hover(this.at(at.x, at.y), event.clientX, event.clientY);
        this.drag(event.pointerId, before, at);
      });
      const lift = event => {
        const grip = this.grip;
        this.fingers.delete(event.pointerId);
        if (event.type === 'pointerup' && grip && !grip.moved && !this.fingers.size) {
          const { x, y } = place(event), slice = this.at(x, y);
          this.hover(slice, event.clientX, event.clientY);
          this.choose(slice);
        }
      };
      canvas.addEventListener('pointerup', lift);
      canvas.addEventListener('pointercancel', lift);
      canvas.addEventListener('pointerleave', () => this.hover(-1));
      canvas.addEventListener('dblclick', event => this.zoom(.4, this.time(place(event).x)));
      canvas.addEventListener('blur', () => this.hover(-1));
      canvas.addEventListener('focus', () => this.later());
      canvas.addEventListener('keydown', event => {
        if (event.ctrlKey || event.metaKey || event.altKey || !this.press(event.key, event.shiftKey)) return;
        event.preventDefault();
      });
    }

    overviewTime(x) { return (x - this.gutter) / (this.wide - this.gutter) * this.ends; }

    drag(finger, before, at) {
      const grip = this.grip;
      if (Math.hypot(at.x - grip.at.x, at.y - grip.at.y) > 4) grip.moved = true;
      if (this.fingers.size === 2) {
        const [other] = [...this.fingers].filter(([id]) => id !== finger).map(([, place]) => place);
        const was = Math.abs(before.x - other.x), is = Math.abs(at.x - other.x);
        if (was > 8 && is > 8) this.zoom(was / is, this.time((at.x + other.x) / 2));
      } else if (grip.overview) {
        const now = this.overviewTime(at.x);
        if (grip.moved) this.look(Math.min(grip.start, now), Math.max(grip.start, now));
      } else if (grip.moved) this.pan((before.x - at.x) / (this.wide - this.gutter));
      this.fingers.set(finger, at);
    }

    // The slice there, or the nearest within three pixels; -1: none.
    at(x, y) {
      const inner = y + this.scroller.scrollTop, row = y < TOP ? null : this.rows.find(row => inner >= row.y && inner < row.y + row.high);
      if (!row || x < this.gutter) return -1;
      const { from, to } = this.slices, reach = 3 * (this.to - this.from) / (this.wide - this.gutter), time = this.time(x);
      let best = -1, least = reach;
      for (let n = this.first(row, time - reach); n < row.slices.length && from[row.slices[n]] <= time + reach; n++) {
        const i = row.slices[n], away = Math.max(0, from[i] - time, time - to[i]);
        if (away <= least) { best = i; least = away; }
      }
      return best;
    }

    hover(slice, x, y) {
      if (slice !== this.hovered) this.later();
      this.hovered = slice;
      this.tip.hidden = slice < 0;
      if (slice < 0) return;
      const lines = this.describe(slice).map((text, i) =>
        Object.assign(document.createElement('div'), { textContent: text, className: i ? 'flame-figure' : 'flame-name' }));
      this.tip.replaceChildren(...lines);
      const room = this.tip.getBoundingClientRect();
      this.tip.style.left = `${Math.max(8, Math.min(x + 14, innerWidth - room.width - 8))}px`;
      this.tip.style.top = `${y + 18 + room.height > innerHeight ? Math.max(8, y - room.height - 14) : y + 18}px`;
    }

    // Shows where else its coroutine ran. Again: no more.
    choose(slice) {
      const whose = slice < 0 ? -1 : this.slices.coroutine[slice];
      this.chosen = whose === this.chosen ? -1 : whose;
      this.later();
    }

    press(key, shift) {
      const row = this.rows[this.lane];
      if (key === '+' || key === '=') this.zoom(.6);
      else if (key === '-' || key === '_') this.zoom(1 / .6);
      else if (key === 'Escape' || key === 'Home') { this.look(0, this.ends); this.choose(-1); this.hover(-1); }
      else if (shift && key === 'ArrowLeft') this.pan(-.2);
      else if (shift && key === 'ArrowRight') this.pan(.2);
      else if (key === 'ArrowLeft' || key === 'ArrowRight') this.step(row, key === 'ArrowLeft' ? -1 : 1);
      else if (key === 'ArrowUp' || key === 'ArrowDown') this.go(this.lane + (key === 'ArrowUp' ? -1 : 1));
      else if (key === 'Enter') this.choose(this.hovered);
      else return false;
      return true;
    }

    go(lane) {
      if (!this.rows[lane]) return;
      this.lane = lane;
      const { y, high } = this.rows[lane], shown = this.scroller.clientHeight;
      if (y - TOP < this.scroller.scrollTop) this.scroller.scrollTop = y - TOP;
      if (y + high + 8 > this.scroller.scrollTop + shown) this.scroller.scrollTop = y + high + 8 - shown;
      this.spoken.textContent = this.rows[lane].title;
      this.later();
    }

    // To the slice before or after, in this lane; the view follows.
    step(row, by) {
      if (!row?.slices.length) return;
      const { from, to } = this.slices, here = row.slices.indexOf(this.hovered);
      const next = here < 0 ? row.slices.find(i => to[i] > this.from) ?? row.slices[0] : row.slices[here + by];
      if (next === undefined) return;
      const span = this.to - this.from;
      if (from[next] < this.from || to[next] > this.to) this.look((from[next] + to[next]) / 2 - span / 2, (from[next] + to[next]) / 2 + span / 2);
      const frame = this.canvas.getBoundingClientRect();
      this.hover(next, frame.left + Math.max(this.gutter, this.x(from[next])), frame.top + row.y - this.scroller.scrollTop + row.high);
      this.spoken.textContent = this.describe(next).join(', ');
    }
  };
})();
