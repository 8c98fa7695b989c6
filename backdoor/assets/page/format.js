// How figures look. Every column keeps its unit's width, so nothing jumps when it refreshes.

/** Seconds, with three digits and a unit: 640 ns, 12.3 ms, 4.56 s, 3 m 20 s, 2 h 05 m, 3 d 4 h. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return '';
  const nanos = Math.round(seconds * 1e9);
  if (nanos === 0) return '0 s';
  if (nanos < 1000) return `${nanos} ns`;
  for (const [unit, size] of [['µs', 1e3], ['ms', 1e6], ['s', 1e9]]) {
    const value = nanos / size;
    if (unit === 's' ? seconds < 60 : value < 999.5) return `${digits(value)} ${unit}`;
  }
  const whole = Math.floor(seconds);
  const two = n => String(n).padStart(2, '0');
  if (whole < 3600) return `${Math.floor(whole / 60)} m ${two(whole % 60)} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${two(Math.floor(whole / 60) % 60)} m`;
  return `${Math.floor(whole / 86400)} d ${Math.floor(whole / 3600) % 24} h`;
}

/** Three digits: 1.23, 12.3, 123. */
export function digits(value) {
  return value < 9.995 ? value.toFixed(2) : value < 99.95 ? value.toFixed(1) : value.toFixed(0);
}

const grouped = new Intl.NumberFormat('en');

/** 1,234,567. */
export function count(number) {
  return number === null || number === undefined ? '' : grouped.format(Math.round(number));
}

/** Short, for tiles: 950, 12.3 k, 1.20 M. */
export function brief(number) {
  for (const [unit, size] of [['G', 1e9], ['M', 1e6], ['k', 1e4]]) {
    if (Math.abs(number) >= size) return `${digits(number / (unit === 'k' ? 1e3 : size))} ${unit}`;
  }
  return count(number);
}

/** 640 B, 12.3 KiB, 4.56 GiB. */
export function bytes(number) {
  if (number === null || number === undefined) return '';
  let value = number;
  for (const unit of ['B', 'KiB', 'MiB', 'GiB']) {
    if (value < 1023.5 || unit === 'GiB') return unit === 'B' ? `${value} B` : `${digits(value)} ${unit}`;
    value /= 1024;
  }
}

export function percent(share) {
  return `${Math.round(share * 100)} %`;
}

// The joiners that scripts and emoji need stay.
const unseen =
  /[\0-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;
const SHORT = { '\n': '\\n', '\t': '\\t', '\r': '\\r' };

/** Text in which nothing hides, and nothing turns what stands around it: such characters are written out, as the console does. */
export function visible(text) {
  return text.replace(unseen, character => SHORT[character] ?? `\\u{${character.codePointAt(0).toString(16)}}`);
}

/** The same for text of several lines, for an element that keeps them: line feeds and tabulators stay. */
export function lines(text) {
  return document.createTextNode(text.split(/([\n\t])/).map(part => (part === '\n' || part === '\t' ? part : visible(part))).join(''));
}

/** Text that is longer than this is cut where it is only looked at. */
const LONGEST = 300;

/** The beginning of a text that is very long, and how much is missing. */
export function shortened(text) {
  const whole = String(text);
  if (whole.length <= LONGEST) return whole;
  const all = [...whole];
  return all.length <= LONGEST ? whole : `${all.slice(0, LONGEST).join('')}… ${count(all.length - LONGEST)} characters more`;
}

/** An element with classes, text and children. */
export function make(tag, classes = '', ...children) {
  const element = document.createElement(tag);
  if (classes) element.className = classes;
  element.append(...children.map(child => (typeof child === 'string' ? visible(child) : child)));
  return element;
}

/** Writes only what is new: nothing flickers, and what is selected stays so. */
export function write(element, text) {
  const string = text === null || text === undefined ? '' : visible(String(text));
  if (element.textContent !== string) element.textContent = string;
}
