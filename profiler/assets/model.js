// The profile as the page has it: columns, of which it makes trees and tables for whatever part is asked for.
//
// `part` says which: { half: 'on' | 'off' | 'allocated', group, worker, kind }, each an index or -1 for all. What was allocated
// has bytes where the others have nanoseconds. In a comparison side 0 is before and side 1 is after, and times and bytes are per
// second of their profile, so that profiles of different length can be compared.
'use strict';

class Model {
  constructor(data) {
    Object.assign(this, data);
    const columns = (of, floats) => {
      for (const key of Object.keys(of)) of[key] = (floats.includes(key) ? Float64Array : Int32Array).from(of[key]);
    };
    for (const half of [this.on, this.off, this.allocated]) {
      // How far before a node its parent is; 0: it has none.
      half.parent = half.up.map((up, i) => up ? i - up : -1);
      delete half.up;
      columns(half, ['count', 'nanos']);
    }
    columns(this.timeline, ['from', 'to']);
    this.compares = this.sides.length > 1;
    this.scale = this.sides.map(side => this.compares ? 1 / (side.lasted || 1) : 1);
    this.nested = {};
    // Groups that did anything. The profiler has some of its own, of which there may be nothing to tell.
    const seen = new Set(this.on.group), busy = side => side.groups.filter(it => it.coroutines || it.cpu || it.switches || it.waits.length);
    for (const half of [this.off, this.allocated]) for (const group of half.group) seen.add(group);
    for (const side of this.sides) for (const it of busy(side)) seen.add(it.group);
    this.present = this.groups.map((_, i) => i).filter(i => seen.has(i));
  }

  name(index) { return this.names[index] ?? '?'; }

  get main() { return this.sides.at(-1); }

  format(value, half = 'on') {
    const text = half === 'allocated' ? units.bytes(value) : units.time(value);
    return this.compares ? `${text}/s` : text;
  }

  // Were allocations sampled?
  get allocates() { return this.sides.some(side => side.every); }

  // Bytes that each group allocated, of one side: [bytes by group].
  allocatedBy(side) {
    const bytes = new Float64Array(this.groups.length), { group, nanos } = this.allocated;
    this.allocated.side.forEach((its, i) => { if (its === side) bytes[group[i]] += nanos[i]; });
    return bytes;
  }

  // What each node weighs by itself: [before, after], or [it], as { nanos, count }.
  weights(part) {
    const half = this[part.half], count = half.parent.length;
    const sides = this.sides.map(() => ({ nanos: new Float64Array(count), count: new Float64Array(count) }));
    for (const [i, node] of half.node.entries()) {
      if (part.group >= 0 && half.group[i] !== part.group) continue;
      if (part.worker >= 0 && half.worker[i] !== part.worker) continue;
      if (part.kind >= 0 && this.frames.name[half.frame[node]] !== part.kind) continue;
      const side = half.side[i];
      sides[side].nanos[node] += half.nanos[i] * this.scale[side];
      sides[side].count[node] += half.count[i] * this.scale[side];
    }
    return sides;
  }

  // As flame.js wants it.
  tree(part) {
    const { parent, frame } = this[part.half], sides = this.weights(part);
    return { names: this.names, frames: this.frames, parent, frame, self: sides.at(-1).nanos, before: this.compares ? sides[0].nanos : undefined };
  }

  // Nodes below a node of the same function, which a function's total must not count again.
  below(half) {
    if (this.nested[half]) return this.nested[half];
    const { parent, frame } = this[half], { name } = this.frames, nested = new Uint8Array(parent.length);
    for (let i = 0; i < parent.length; i++) {
      const mine = name[frame[i]];
      for (let up = parent[i]; up >= 0; up = parent[up]) if (name[frame[up]] === mine) { nested[i] = 1; break; }
    }
    return this.nested[half] = nested;
  }

  // What each function took: [{ name, own, frames, nodes, sides: [{ self, total, count }] }]. A wait is its caller's. `frames` has
  // what each place in the function took, of the last side.
  functions(part) {
    const { parent, frame } = this[part.half], { name, sort } = this.frames, nested = this.below(part.half), { WAIT, OWN } = GrapeshotFlame;
    const rows = [], last = this.sides.length - 1;
    const row = i => rows[name[frame[i]]] ??= { name: name[frame[i]], own: sort[frame[i]] === OWN, frames: new Map(), nodes: [],
      sides: this.sides.map(() => ({ self: 0, total: 0, count: 0 })) };
    this.weights(part).forEach(({ nanos, count }, side) => {
      const total = nanos.slice(), totalCount = count.slice();
      for (let i = parent.length - 1; i >= 0; i--) {
        const up = parent[i];
        if (!totalCount[i] && !total[i]) continue;
        if (up >= 0) { total[up] += total[i]; totalCount[up] += totalCount[i]; }
        if (sort[frame[i]] >= WAIT) {
          if (sort[frame[i]] === WAIT && up >= 0 && sort[frame[up]] < WAIT) row(up).sides[side].self += total[i];
          continue;
        }
        const it = row(i), figures = it.sides[side];
        figures.self += nanos[i];
        if (side === last) it.nodes.push(i);
        if (nested[i]) continue;
        figures.total += total[i];
        figures.count += totalCount[i];
        if (side === last) it.frames.set(frame[i], (it.frames.get(frame[i]) ?? 0) + total[i]);
      }
      this.totals = total;
    });
    return rows.filter(Boolean);
  }

  // Where a frame is: `file:line`, or nothing.
  place(frame) {
    const { file, line } = this.frames;
    return file[frame] < 0 ? '' : this.name(file[frame]) + (line[frame] ? `:${line[frame]}` : '');
  }

  // Who calls a function and whom it calls, by time, of the last part that `functions` was asked for.
  neighbours(half, row) {
    const { parent, frame } = this[half], { name, sort } = this.frames, total = this.totals, nested = this.below(half);
    const callers = new Map(), callees = new Map(), mine = new Set(row.nodes);
    // What node `i` took is of whoever node `whose` is.
    const add = (to, whose, i) => {
      if (total[i]) to.set(name[frame[whose]], (to.get(name[frame[whose]]) ?? 0) + total[i]);
    };
    for (const i of mine) if (!nested[i] && parent[i] >= 0 && sort[frame[parent[i]]] !== GrapeshotFlame.GROUP) add(callers, parent[i], i);
    for (const [i, up] of parent.entries()) if (up >= 0 && mine.has(up) && !mine.has(i)) add(callees, i, i);
    const sorted = map => [...map].map(([name, nanos]) => ({ name, nanos })).sort((a, b) => b.nanos - a.nanos);
    return { callers: sorted(callers), callees: sorted(callees) };
  }

  // Kinds of waits, those with the most time first.
  kinds() {
    const nanos = new Map();
    for (const side of this.sides) for (const group of side.groups) for (const [kind, time] of group.waits) nanos.set(kind, (nanos.get(kind) ?? 0) + time);
    return [...nanos].sort((a, b) => b[1] - a[1]).map(([kind]) => kind);
  }
}
