// Drawing: the world and the minimap. Knows nothing of the connection.

import { isPlayer } from './wire.js';

export const COLOURS = ['#f2727f', '#f0a35e', '#e3cf65', '#7fcf85', '#4fc4c4', '#6aa5f8', '#b18cf5'];
export const colourOf = id => COLOURS[((id >> 1) * 2654435761 >>> 16) % COLOURS.length];
const VOID = '#05070b';
const FLOOR = '#0b0e16';

// A sphere with light from above and a soft halo, drawn once for each colour and size.
const sprites = new Map();
function sphere(colour, radius) {
  const key = colour + radius;
  let sprite = sprites.get(key);
  if (sprite) return sprite;
  if (sprites.size > 60) sprites.clear();
  const halo = radius * 1.5;
  sprite = document.createElement('canvas');
  sprite.width = sprite.height = Math.ceil(halo * 2);
  const c = sprite.getContext('2d');
  c.translate(halo, halo);
  const glow = c.createRadialGradient(0, 0, radius * .8, 0, 0, halo);
  glow.addColorStop(0, colour + '55');
  glow.addColorStop(1, colour + '00');
  c.fillStyle = glow;
  c.fillRect(-halo, -halo, 2 * halo, 2 * halo);
  disc(c, 0, 0, radius, colour);
  const shade = c.createRadialGradient(-radius * .35, -radius * .45, radius * .1, 0, 0, radius * 1.05);
  shade.addColorStop(0, 'rgb(255 255 255 / 55%)');
  shade.addColorStop(.35, 'rgb(255 255 255 / 8%)');
  shade.addColorStop(.75, 'rgb(8 10 30 / 30%)');
  shade.addColorStop(1, 'rgb(8 10 30 / 62%)');
  disc(c, 0, 0, radius, shade);
  sprites.set(key, sprite);
  return sprite;
}

function disc(c, x, y, radius, style) {
  c.fillStyle = style;
  c.beginPath();
  c.arc(x, y, radius, 0, Math.PI * 2);
  c.fill();
}

// One frame. `scene`: camera (x, y: the middle), scale (CSS pixels a unit), ratio (device pixels a CSS pixel), width and
// height (CSS pixels), field, radius, picture, name, now.
export function drawWorld(c, scene) {
  const { camera, scale, ratio, width, height, field } = scene;
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  c.fillStyle = VOID;
  c.fillRect(0, 0, width, height);
  const k = scale * ratio;
  c.setTransform(k, 0, 0, k, (width / 2 - camera.x * scale) * ratio, (height / 2 - camera.y * scale) * ratio);
  const seen = { l: camera.x - width / 2 / scale, t: camera.y - height / 2 / scale };
  seen.r = seen.l + width / scale;
  seen.b = seen.t + height / scale;
  floor(c, seen, field, 1 / k);
  panels(c, scene.picture.panels, seen, 1 / k);
  movers(c, scene, seen);
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  labels(c, scene);
}

function floor(c, seen, field, hair) {
  const l = Math.max(0, seen.l), t = Math.max(0, seen.t), r = Math.min(field, seen.r), b = Math.min(field, seen.b);
  if (r <= l || b <= t) return;
  c.fillStyle = FLOOR;
  c.fillRect(l, t, r - l, b - t);
  for (const [every, style] of [[128, 'rgb(150 170 230 / 3.5%)'], [1024, 'rgb(150 170 230 / 9%)']]) {
    c.fillStyle = style;
    for (let x = Math.ceil(l / every) * every; x <= r; x += every) c.fillRect(x, t, hair * 1.5, b - t);
    for (let y = Math.ceil(t / every) * every; y <= b; y += every) c.fillRect(l, y, r - l, hair * 1.5);
  }
  c.strokeStyle = 'rgb(167 139 250 / 60%)';
  c.lineWidth = hair * 3;
  c.strokeRect(0, 0, field, field);
}

function panels(c, list, seen, hair) {
  for (const p of list) {
    if (p.x > seen.r || p.y > seen.b || p.x + p.w < seen.l || p.y + p.h < seen.t) continue;
    const colour = COLOURS[p.colour];
    const round = Math.min(10, p.w / 6, p.h / 6);
    c.beginPath();
    c.roundRect(p.x, p.y, p.w, p.h, round);
    c.fillStyle = colour + '2b';
    c.fill();
    c.lineWidth = hair * 1.5;
    c.strokeStyle = colour + '8c';
    c.stroke();
  }
}

// Moves each mover along its way and draws it.
function movers(c, scene, seen) {
  const { radius, now, scale, ratio } = scene;
  const margin = radius * 1.6;
  const pixels = Math.max(4, Math.round(radius * scale * ratio));
  const half = pixels * 1.5 / (scale * ratio);
  for (const mover of scene.picture.movers) {
    advance(mover, now);
    const { x, y } = mover;
    if (isPlayer(mover.id) || x < seen.l - margin || x > seen.r + margin || y < seen.t - margin || y > seen.b + margin) continue;
    c.drawImage(sphere(colourOf(mover.id), pixels), x - half, y - half, 2 * half, 2 * half);
    // An eye on the side it goes to.
    const ex = x + mover.ux * radius * .48, ey = y + mover.uy * radius * .48;
    disc(c, ex, ey, radius * .27, 'rgb(250 252 255 / 92%)');
    disc(c, ex + mover.ux * radius * .1, ey + mover.uy * radius * .1, radius * .13, '#10131d');
  }
  for (const mover of scene.picture.movers) if (isPlayer(mover.id)) ring(c, mover.x, mover.y, radius, colourOf(mover.id), now);
  if (scene.picture.me !== null) ring(c, scene.camera.x, scene.camera.y, radius, colourOf(scene.picture.me), now, true);
}

export function advance(mover, now) {
  const way = Math.min(1, (now - mover.since) / mover.during);
  mover.x = mover.fx + (mover.tx - mover.fx) * way;
  mover.y = mover.fy + (mover.ty - mover.fy) * way;
}

function ring(c, x, y, radius, colour, now, mine = false) {
  disc(c, x, y, radius * 1.55, colour + '1c');
  disc(c, x, y, radius, '#0d1019');
  disc(c, x, y, radius * .45, colour);
  c.lineWidth = radius * .16;
  c.strokeStyle = mine ? '#f4f6ff' : colour;
  c.beginPath();
  c.arc(x, y, radius, 0, Math.PI * 2);
  c.stroke();
  // A satellite tells players from NPCs at a glance.
  const angle = now / 900;
  disc(c, x + Math.cos(angle) * radius * 1.3, y + Math.sin(angle) * radius * 1.3, radius * .12, '#f4f6ff');
}

function labels(c, scene) {
  const { camera, scale, width, height, radius, picture } = scene;
  c.font = '600 12px ui-sans-serif, system-ui, "Segoe UI", Arial, sans-serif';
  c.textAlign = 'center';
  c.textBaseline = 'middle';
  const label = (name, x, y, mine) => {
    const sx = (x - camera.x) * scale + width / 2, sy = (y - camera.y) * scale + height / 2 + radius * scale * 1.55 + 14;
    if (sx < -150 || sx > width + 150 || sy < -20 || sy > height + 30) return;
    const wide = c.measureText(name).width + 18;
    c.fillStyle = 'rgb(9 11 18 / 82%)';
    c.beginPath();
    c.roundRect(sx - wide / 2, sy - 11, wide, 22, 11);
    c.fill();
    c.fillStyle = mine ? '#fff' : '#d5daea';
    c.fillText(name, sx, sy + .5);
  };
  for (const mover of picture.movers) {
    const name = isPlayer(mover.id) && picture.names.get(mover.id);
    if (name) label(name, mover.x, mover.y, false);
  }
  if (scene.name) label(scene.name, camera.x, camera.y, true);
}

// The minimap: `map` has side, cells (levels 0–15) and players (0–1); `box` is what the window shows, 0–1.
export function drawMap(c, map, box, me) {
  const size = c.canvas.width;
  c.fillStyle = '#080a11';
  c.fillRect(0, 0, size, size);
  if (map) {
    const cell = size / map.side;
    for (let i = 0; i < map.cells.length; i++) {
      const level = map.cells[i];
      if (!level) continue;
      c.fillStyle = `rgb(120 135 235 / ${Math.round(12 + level * 4)}%)`;
      c.fillRect(i % map.side * cell, Math.floor(i / map.side) * cell, cell, cell);
    }
    for (const player of map.players) if (player.id !== me) disc(c, player.x * size, player.y * size, size / 85, colourOf(player.id));
  }
  c.lineWidth = Math.max(1, size / 130);
  c.strokeStyle = '#f4f6ff';
  const least = size / 40;
  const w = Math.max(least, box.w * size), h = Math.max(least, box.h * size);
  c.fillStyle = 'rgb(244 246 255 / 12%)';
  c.beginPath();
  c.rect(box.x * size - w / 2, box.y * size - h / 2, w, h);
  c.fill();
  c.stroke();
}
