// What the console's functions give, as text: as the program `console` shows it.

import { bytes, count, duration, shortened } from './format.js';

/** Rows that are shown at most. */
const ROWS = 300;

/** A value of the console's language: durations and amounts of memory come marked. */
export function text(value) {
  if (value === null || value === undefined) return '';
  if (typeof value === 'number') return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(6)));
  if (typeof value !== 'object') return String(value);
  if ('$duration' in value) return duration(value.$duration);
  if ('$bytes' in value) return bytes(value.$bytes);
  if (Array.isArray(value)) return `[${value.map(text).join(', ')}]`;
  return `{${Object.entries(value).map(([name, field]) => `${name}: ${text(field)}`).join(', ')}}`;
}

/** What a value is compared by. */
export function rank(value) {
  if (value !== null && typeof value === 'object') return value.$duration ?? value.$bytes ?? text(value);
  return value;
}

export const isNumber = value => typeof value === 'number' || (value !== null && typeof value === 'object' && ('$duration' in value || '$bytes' in value));

export const isRecord = value => value !== null && typeof value === 'object' && !Array.isArray(value) && !('$duration' in value) && !('$bytes' in value);

/** The fields of rows, in their order, and whether all of each are numbers. */
export function columnsOf(rows) {
  const names = new Map();
  for (const row of rows) {
    for (const [name, value] of Object.entries(row)) {
      const known = names.get(name) ?? true;
      names.set(name, known && (value === null || isNumber(value)));
    }
  }
  return [...names].map(([name, numbers]) => ({ name, numbers: numbers && rows.some(row => row[name] !== null) }));
}

const ESC = '\x1b[';
const dim = line => `${ESC}2m${line}${ESC}22m`;

/** How many columns of a terminal a text takes. */
export function width(string) {
  let columns = 0;
  for (const character of string) columns += /\p{Mark}/u.test(character) ? 0 : character.codePointAt(0) >= 0x1100 && /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Extended_Pictographic}/u.test(character) ? 2 : 1;
  return columns;
}

function cut(string, columns) {
  if (width(string) <= columns) return string;
  let kept = '';
  for (const character of string) {
    if (width(kept + character) > columns - 1) break;
    kept += character;
  }
  return `${kept}…`;
}

/** Nothing that a value says can steer the terminal. */
const harmless = string => string.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, '·').replace(/\n/g, '⏎');

function table(rows, room) {
  const columns = columnsOf(rows);
  const cells = rows.map(row => columns.map(({ name }) => harmless(shortened(text(row[name])))));
  const widths = columns.map(({ name }, at) => Math.max(width(name), ...cells.map(line => width(line[at]))));
  // The widest text gives way until all fit.
  const all = () => widths.reduce((sum, one) => sum + one + 2, -2);
  while (all() > room) {
    const widest = widths.indexOf(Math.max(...widths));
    if (widths[widest] <= 8) break;
    widths[widest] -= 1;
  }
  const pad = (string, at) => {
    const shown = cut(string, widths[at]);
    const space = ' '.repeat(widths[at] - width(shown));
    return columns[at].numbers ? space + shown : shown + space;
  };
  const line = fields => fields.map(pad).join('  ').trimEnd();
  return [dim(line(columns.map(({ name }) => name))), dim(widths.map(one => '─'.repeat(one)).join('  ')), ...cells.map(line)];
}

/** The lines for a terminal of so many columns. */
export function lines(value, rows, total, room) {
  if (rows === null) {
    if (value === null) return [];
    if (!isRecord(value)) return (typeof value === 'string' ? value : text(value)).split('\n').map(harmless);
    const widest = Math.max(0, ...Object.keys(value).map(width));
    // A field takes a line, as it does in the program.
    const line = field => cut(harmless(text(field).slice(0, 4 * room)), Math.max(room - widest - 2, 8));
    return Object.entries(value).map(([name, field]) => `${dim(name.padStart(widest))}  ${line(field)}`);
  }
  if (!rows.length) return [dim('nothing')];
  const shown = rows.slice(0, ROWS);
  const list = shown.every(isRecord) ? table(shown, room) : shown.map(row => harmless(shortened(text(row))));
  if (total > shown.length) list.push(dim(`… ${count(total - shown.length)} more of ${count(total)}; rows.top("field", n) shows the largest`));
  return list;
}
