// The page: connection, camera, input, figures. wire.js decodes, draw.js draws.

import { Picture, VERSION, isPlayer, ping, rename, view } from './wire.js';
import { advance, colourOf, drawMap, drawWorld } from './draw.js';

const $ = id => document.getElementById(id);
const canvas = $('world');
const context = canvas.getContext('2d', { alpha: false });
const minimap = $('minimap').getContext('2d', { alpha: false });

const MARGIN = 160;          // units asked for beyond each border, so that nothing pops up while scrolling
const MOST_SIDE = 4000;      // the server's cap on a viewport's side is 4096
const LEAST_SIDE = 560;      // smaller windows show the field smaller
const SCROLL = 900;          // units a second
const VIEW_EVERY = 50;       // ms between two VIEWs at most
const PING_EVERY = 2000;     // ms between two PINGs; a page that says nothing for 30 s is gone for the server

const camera = { x: 0, y: 0, vx: 0, vy: 0, placed: false };
const screen = { width: 0, height: 0, ratio: 1, scale: 1 };
const world = { field: 20480, step: 100, radius: 25 };
const connection = { socket: null, state: 'connecting', attempt: 0, since: 0, received: 0, timer: 0, kicked: false };
const keys = new Set();
let name = new URLSearchParams(location.search).get('name') || remembered() || '';
let seq = 0, seqSeen = 0, sentView = null, viewDue = 0, pingDue = 0;
let roster = new Map(), map = null, hud = null, rtt = null, updates = 0, frames = 0, fps = 0, bytesPerSecond = 0;

// ---- what the server says

const picture = new Picture({
  welcome(welcome) {
    if (welcome.version !== VERSION) return location.reload();
    Object.assign(world, { field: welcome.field, step: welcome.step, radius: welcome.radius });
    connection.attempt = 0;
    setState('live');
    setName(welcome.name);
    sentView = null;
    pingDue = 0;
  },
  entered(mover, x, y, now) {
    const angle = mover.id * 2.4;
    return Object.assign(mover, { x, y, fx: x, fy: y, tx: x, ty: y, since: now, during: 1, ux: Math.cos(angle), uy: Math.sin(angle) });
  },
  moved(mover, x, y, now) {
    advance(mover, now);
    const dx = x - mover.tx, dy = y - mover.ty, way = Math.hypot(dx, dy);
    if (way > .5) { mover.ux = dx / way; mover.uy = dy / way; }
    const jump = way > 400;
    Object.assign(mover, { fx: jump ? x : mover.x, fy: jump ? y : mover.y, tx: x, ty: y, since: now });
    // A little longer than until the next step is due, so that movement does not stop and go.
    mover.during = isPlayer(mover.id) ? 90 : Math.min(world.step, 1000) + 30;
  },
  update(answered, x, y) {
    updates++;
    seqSeen = answered;
    if (!camera.placed) Object.assign(camera, { x, y, placed: true });
  },
  hud(figures) { hud = figures; showHud(); },
  minimap(side, cells, players) { map = { side, cells, players }; },
  roster(names) {
    roster = names;
    if (roster.has(picture.me)) setName(roster.get(picture.me));
    showRoster();
  },
  pong(token) { rtt = (Math.round(performance.now()) - token + 2 ** 32) % 2 ** 32; },
});

function connect() {
  clearTimeout(connection.timer);
  const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
  const query = name ? `?name=${encodeURIComponent(name)}` : '';
  const socket = connection.socket = new WebSocket(`${scheme}://${location.host}/ws${query}`);
  socket.binaryType = 'arraybuffer';
  socket.onmessage = event => {
    connection.received += event.data.byteLength;
    try {
      picture.apply(event.data, performance.now());
      tellAlive(performance.now());
    } catch (error) {
      console.error(error);
      socket.close(4000, 'not understood');
    }
  };
  socket.onclose = event => {
    if (connection.socket !== socket) return;
    connection.socket = null;
    if (event.code === 4001) return kicked(event.reason);
    retry();
  };
}

function retry() {
  const wait = Math.min(8000, 400 * 2 ** connection.attempt++) * (.75 + Math.random() / 2);
  setState('reconnecting');
  connection.timer = setTimeout(connect, wait);
}

function kicked(reason) {
  connection.kicked = true;
  setState('away');
  notice(`You were sent away: ${reason || 'no reason given'}.`, true);
}

function setState(state) {
  connection.state = state;
  $('connection').textContent = state;
  $('connection').dataset.state = state;
  document.body.classList.toggle('away', state === 'reconnecting' || state === 'away');
  if (state === 'live') notice(null);
  if (state === 'reconnecting') notice(connection.attempt > 1 ? `Reconnecting … attempt ${connection.attempt}` : 'Reconnecting …');
}

function notice(text, button = false) {
  $('notice').hidden = text === null;
  $('notice-text').textContent = text ?? '';
  $('rejoin').hidden = !button;
}

$('rejoin').onclick = () => {
  connection.kicked = false;
  setState('connecting');
  notice('Connecting …');
  connect();
};

function send(message) {
  const socket = connection.socket;
  if (socket?.readyState === WebSocket.OPEN && connection.state === 'live') socket.send(message);
}

// Tells where we look, if that has changed, at most every VIEW_EVERY ms.
function tellView(now) {
  if (!camera.placed || connection.state !== 'live' || now < viewDue) return;
  const w = Math.min(4096, Math.ceil(screen.width / screen.scale) + 2 * MARGIN);
  const h = Math.min(4096, Math.ceil(screen.height / screen.scale) + 2 * MARGIN);
  const wanted = [Math.round(camera.x * picture.quanta), Math.round(camera.y * picture.quanta), w, h];
  if (sentView && wanted.every((v, i) => v === sentView[i])) return;
  sentView = wanted;
  viewDue = now + VIEW_EVERY;
  send(view(++seq, ...wanted));
}

// Called for each message too: a browser stops the timers of a page that nobody looks at, but not its messages.
function tellAlive(now) {
  if (connection.state !== 'live' || now < pingDue) return;
  pingDue = now + PING_EVERY;
  send(ping(Math.round(now) % 2 ** 32));
}

setInterval(() => {
  tellAlive(performance.now());
  if (connection.socket?.readyState === WebSocket.CONNECTING && connection.state !== 'connecting') notice('Reconnecting …');
}, PING_EVERY);

// ---- the name

function remembered() {
  try { return localStorage.getItem('mmo-name'); } catch { return null; }
}

function setName(given) {
  name = given;
  if (document.activeElement !== $('name')) $('name').value = given;
  document.title = `${given} · Grapeshot`;
}

$('name-form').onsubmit = event => { event.preventDefault(); $('name').blur(); };
$('name').onchange = () => {
  const wanted = $('name').value.trim();
  if (!wanted) { $('name').value = name; return; }
  try { localStorage.setItem('mmo-name', wanted); } catch { /* it is forgotten, then */ }
  name = wanted;
  send(rename(wanted));
};

// ---- moving about

function jump(x, y) {
  Object.assign(camera, { x: clamp(x), y: clamp(y), vx: 0, vy: 0, placed: true });
  viewDue = 0;
}
const clamp = v => Math.min(world.field, Math.max(0, v));

const AXES = { KeyA: [-1, 0], ArrowLeft: [-1, 0], KeyD: [1, 0], ArrowRight: [1, 0], KeyW: [0, -1], ArrowUp: [0, -1], KeyS: [0, 1], ArrowDown: [0, 1] };

addEventListener('keydown', event => {
  if (event.target === $('name')) { if (event.key === 'Escape') { $('name').value = name; $('name').blur(); } return; }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.code in AXES) { keys.add(event.code); event.preventDefault(); }
  // The origin in the upper left corner, as in the original.
  else if (event.code === 'KeyR') jump(screen.width / 2 / screen.scale, screen.height / 2 / screen.scale);
  if (event.key === 'Shift') keys.add('Shift');
});
addEventListener('keyup', event => { keys.delete(event.code); if (event.key === 'Shift') keys.delete('Shift'); });
addEventListener('blur', () => keys.clear());

let drag = null;
canvas.addEventListener('pointerdown', event => {
  if (event.button !== 0 || drag) return;
  document.activeElement.blur();
  canvas.setPointerCapture(event.pointerId);
  canvas.classList.add('dragging');
  drag = { id: event.pointerId, x: event.clientX, y: event.clientY, at: event.timeStamp };
  camera.vx = camera.vy = 0;
});
canvas.addEventListener('pointermove', event => {
  if (drag?.id !== event.pointerId) return;
  const dx = (drag.x - event.clientX) / screen.scale, dy = (drag.y - event.clientY) / screen.scale;
  const dt = Math.max(1, event.timeStamp - drag.at) / 1000;
  camera.x = clamp(camera.x + dx);
  camera.y = clamp(camera.y + dy);
  // The speed it lets go with, smoothed.
  camera.vx += (dx / dt - camera.vx) * .4;
  camera.vy += (dy / dt - camera.vy) * .4;
  Object.assign(drag, { x: event.clientX, y: event.clientY, at: event.timeStamp });
});
const release = event => {
  if (drag?.id !== event.pointerId) return;
  if (event.timeStamp - drag.at > 80) camera.vx = camera.vy = 0;
  drag = null;
  canvas.classList.remove('dragging');
};
canvas.addEventListener('pointerup', release);
canvas.addEventListener('pointercancel', release);

const pointAt = event => {
  const box = $('minimap').getBoundingClientRect();
  jump((event.clientX - box.left) / box.width * world.field, (event.clientY - box.top) / box.height * world.field);
};
$('minimap').addEventListener('pointerdown', event => { $('minimap').setPointerCapture(event.pointerId); pointAt(event); });
$('minimap').addEventListener('pointermove', event => { if (event.buttons) pointAt(event); });

function moveCamera(seconds) {
  let ax = 0, ay = 0;
  for (const key of keys) if (key in AXES) { ax += AXES[key][0]; ay += AXES[key][1]; }
  ax = Math.sign(ax);
  ay = Math.sign(ay);
  const speed = SCROLL * (keys.has('Shift') ? 3 : 1) / (ax && ay ? Math.SQRT2 : 1);
  const ease = 1 - Math.exp(-seconds * (ax || ay ? 14 : 6));
  if (drag) return;
  camera.vx += (ax * speed - camera.vx) * ease;
  camera.vy += (ay * speed - camera.vy) * ease;
  if (Math.abs(camera.vx) < 1) camera.vx = 0;
  if (Math.abs(camera.vy) < 1) camera.vy = 0;
  camera.x = clamp(camera.x + camera.vx * seconds);
  camera.y = clamp(camera.y + camera.vy * seconds);
}

// ---- figures

const thousands = new Intl.NumberFormat('en');
const bytes = n => n < 1000 ? `${Math.round(n)} B/s` : n < 1e6 ? `${(n / 1000).toFixed(1)} kB/s` : `${(n / 1e6).toFixed(2)} MB/s`;
const millis = us => us < 9950 ? (us / 1000).toFixed(1) : Math.round(us / 1000);

function showHud() {
  const pace = hud.speed === 1000 ? '' : hud.speed === 0 ? ' · frozen' : ` · ×${hud.speed / 1000}`;
  $('hud-npcs').textContent = thousands.format(hud.npcs) + pace;
  $('hud-players').textContent = thousands.format(hud.players);
  $('hud-seen').textContent = hud.seenBy === 1 ? '1 player' : `${hud.seenBy} players`;
  $('hud-steps').textContent = `${thousands.format(hud.steps)} /s`;
  $('hud-late').textContent = `${millis(hud.lateP50)} / ${millis(hud.lateP99)} ms`;
  $('hud-cpu').textContent = `${(hud.cpu / 10).toFixed(0)} % of a core`;
}

setInterval(() => {
  bytesPerSecond = connection.received;
  fps = frames;
  connection.received = frames = 0;
  $('hud-fps').textContent = `${fps} /s`;
  $('hud-bytes').textContent = bytes(bytesPerSecond);
  $('hud-rtt').textContent = rtt === null ? '–' : `${rtt} ms`;
}, 1000);

function showRoster() {
  const others = [...roster].filter(([id]) => id !== picture.me).slice(0, 100);
  $('roster').replaceChildren(...others.map(([id, who]) => {
    const item = document.createElement('li');
    const button = document.createElement('button');
    const dot = document.createElement('i');
    const text = document.createElement('span');
    dot.style.background = colourOf(id);
    text.textContent = who;
    button.type = 'button';
    button.title = `go to ${who}`;
    button.append(dot, text);
    button.onclick = () => {
      const player = map?.players.find(player => player.id === id);
      if (player) jump(player.x * world.field, player.y * world.field + 4 * world.radius);
      button.blur();
    };
    item.append(button);
    return item;
  }));
}

// ---- frames

function resize() {
  const ratio = Math.min(3, devicePixelRatio || 1);
  const width = innerWidth, height = innerHeight;
  const least = Math.min(width, height);
  const scale = Math.max((width + 1) / MOST_SIDE, (height + 1) / MOST_SIDE, Math.min(1, least / LEAST_SIDE));
  Object.assign(screen, { width, height, ratio, scale });
  for (const [target, w, h] of [[canvas, width, height], [$('minimap'), $('minimap').clientWidth, $('minimap').clientHeight]]) {
    const [pw, ph] = [Math.round(w * ratio), Math.round(h * ratio)];
    if (target.width !== pw || target.height !== ph) [target.width, target.height] = [pw, ph];
  }
}

let before = performance.now();
function frame(now) {
  const seconds = Math.min(.1, Math.max(0, (now - before) / 1000));
  before = now;
  if (innerWidth !== screen.width || innerHeight !== screen.height || Math.min(3, devicePixelRatio) !== screen.ratio) resize();
  moveCamera(seconds);
  tellView(now);
  drawWorld(context, { ...screen, ...world, camera, picture, name, now });
  const box = { x: camera.x / world.field, y: camera.y / world.field, w: screen.width / screen.scale / world.field, h: screen.height / screen.scale / world.field };
  drawMap(minimap, map, box, picture.me);
  $('place').textContent = `${Math.round(camera.x)}, ${Math.round(camera.y)}`;
  frames++;
  requestAnimationFrame(frame);
}

// For tests and for the curious: what the page knows. Reading it changes nothing.
window.mmo = Object.freeze({
  state: () => ({
    connection: connection.state, attempt: connection.attempt, me: picture.me, name, camera: { x: camera.x, y: camera.y }, screen: { ...screen },
    seq, seqSeen, updates, fps, bytesPerSecond, rtt, hud, roster: Object.fromEntries(roster),
    npcs: picture.movers.filter(mover => !isPlayer(mover.id)).length,
    players: picture.movers.filter(mover => isPlayer(mover.id)).length,
    panels: picture.panels.length,
  }),
  movers: () => picture.movers.map(mover => ({ id: mover.id, x: mover.tx, y: mover.ty, name: picture.names.get(mover.id) ?? null, player: isPlayer(mover.id) })),
});

resize();
requestAnimationFrame(frame);
connect();
