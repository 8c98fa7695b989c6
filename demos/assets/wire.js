// The page's half of the wire format; src/mmo/wire.rs describes the bytes.

export const VERSION = 1;

class Reader {
  constructor(buffer) {
    this.bytes = new Uint8Array(buffer);
    this.at = 0;
  }
  get done() { return this.at >= this.bytes.length; }
  byte() {
    if (this.done) throw new RangeError('the message ends inside a field');
    return this.bytes[this.at++];
  }
  number() {
    let value = 0;
    for (let place = 1; place < 2 ** 35; place *= 128) {
      const byte = this.byte();
      value += (byte & 127) * place;
      if (byte < 128) return value;
    }
    throw new RangeError('a number is too long');
  }
  signed() {
    const v = this.number();
    return v % 2 ? -(v + 1) / 2 : v / 2;
  }
  slice(length) {
    const end = this.at + length;
    if (end > this.bytes.length) throw new RangeError('the message ends inside a field');
    const part = this.bytes.subarray(this.at, end);
    this.at = end;
    return part;
  }
  text() { return decoder.decode(this.slice(this.number())); }
}

const decoder = new TextDecoder();
const encoder = new TextEncoder();

export const isPlayer = id => id % 2 === 1;

// What the page knows. `handlers` hear what is not kept here: welcome, update, hud, minimap, roster, pong.
export class Picture {
  constructor(handlers) {
    this.handlers = handlers;
    this.reset();
  }

  reset() {
    this.me = null;
    this.quanta = 4;
    this.movers = []; // sorted by id; places are in quanta (qx, qy) and units (x, y)
    this.panels = []; // sorted by id
    this.names = new Map(); // of players in view
  }

  apply(buffer, now) {
    const from = new Reader(buffer);
    while (!from.done) {
      const tag = from.byte();
      switch (tag) {
        case 1: this.#welcome(from); break;
        case 2: this.#update(from, now); break;
        case 3: this.#hud(from); break;
        case 4: this.#minimap(from); break;
        case 5: this.handlers.roster(this.#names(from, new Map())); break;
        case 6: this.handlers.pong(from.number()); break;
        default: throw new RangeError(`no message begins with ${tag}`);
      }
    }
  }

  #welcome(from) {
    const version = from.byte();
    this.reset();
    this.me = from.number();
    const welcome = { version, me: this.me, field: from.number(), step: from.number(), radius: from.number(), quanta: from.number(), name: from.text() };
    this.quanta = welcome.quanta;
    this.handlers.welcome(welcome);
  }

  #update(from, now) {
    const seq = from.number();
    const mx = from.signed();
    const my = from.signed();
    for (const gone of takeOut(from, this.movers)) this.names.delete(gone.id);
    let place = -1;
    for (let count = from.number(); count > 0; count--) {
      place += from.number() + 1;
      const mover = this.movers[place];
      mover.qx += from.signed();
      mover.qy += from.signed();
      this.handlers.moved(mover, mover.qx / this.quanta, mover.qy / this.quanta, now);
    }
    const entered = from.number();
    for (let left = entered, id = -1; left > 0; left--) {
      id += from.number() + 1;
      const qx = mx + from.signed();
      const qy = my + from.signed();
      this.movers.push(this.handlers.entered({ id, qx, qy }, qx / this.quanta, qy / this.quanta, now));
    }
    if (entered) this.movers.sort(byId);
    this.#names(from, this.names);
    takeOut(from, this.panels);
    const panels = from.number();
    for (let left = panels, id = -1; left > 0; left--) {
      id += from.number() + 1;
      this.panels.push({ id, colour: from.byte(), x: from.number(), y: from.number(), w: from.number(), h: from.number() });
    }
    if (panels) this.panels.sort(byId);
    this.handlers.update(seq, mx / this.quanta, my / this.quanta);
  }

  #names(from, names) {
    for (let count = from.number(); count > 0; count--) {
      const id = from.number();
      names.set(id, from.text());
    }
    return names;
  }

  #hud(from) {
    const hud = {};
    for (const key of ['npcs', 'players', 'seenBy', 'lateP50', 'lateP99', 'cpu', 'coroutines', 'steps', 'bytes', 'speed']) hud[key] = from.number();
    this.handlers.hud(hud);
  }

  #minimap(from) {
    const side = from.byte();
    const pairs = from.slice(side * side / 2);
    const cells = new Uint8Array(side * side);
    pairs.forEach((pair, i) => { cells[2 * i] = pair & 15; cells[2 * i + 1] = pair >> 4; });
    const players = [];
    for (let count = from.number(); count > 0; count--) players.push({ id: from.number(), x: from.number() / 65535, y: from.number() / 65535 });
    this.handlers.minimap(side, cells, players);
  }
}

const byId = (a, b) => a.id - b.id;

// Takes the places that a message names out of a list; gives what was there.
function takeOut(from, list) {
  const count = from.number();
  if (!count) return [];
  const gone = [];
  let place = -1;
  for (let left = count; left > 0; left--) {
    place += from.number() + 1;
    if (place >= list.length) throw new RangeError('a delta names what is not there');
    gone.push(list[place]);
    list[place] = null;
  }
  let kept = 0;
  for (const entry of list) if (entry) list[kept++] = entry;
  list.length = kept;
  return gone;
}

function put(out, v) {
  for (; v >= 128; v = Math.floor(v / 128)) out.push(v % 128 + 128);
  out.push(v);
}
const putSigned = (out, v) => put(out, v < 0 ? -v * 2 - 1 : v * 2);

export function view(seq, qx, qy, w, h) {
  const out = [0x81];
  put(out, seq);
  putSigned(out, qx);
  putSigned(out, qy);
  put(out, w);
  put(out, h);
  return new Uint8Array(out);
}

export function rename(name) {
  const text = encoder.encode(name);
  const out = new Uint8Array(text.length + 1);
  out[0] = 0x82;
  out.set(text, 1);
  return out;
}

export function ping(token) {
  const out = [0x83];
  put(out, token);
  return new Uint8Array(out);
}
