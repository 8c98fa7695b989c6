// How figures read: three digits, a unit, and a space between them that no line is broken at.
'use strict';

const units = (() => {
  const SPACE = '\u00a0';
  const digits = value => value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
  const STEPS = [[1e9, 's'], [1e6, 'ms'], [1e3, 'µs']];

  // Nanoseconds.
  function time(nanos) {
    const size = Math.abs(nanos), sign = nanos < 0 ? '−' : '';
    if (size >= 5999.5e9) return `${sign}${(size / 3600e9).toFixed(1)}${SPACE}h`;
    if (size >= 99.95e9) return `${sign}${(size / 60e9).toFixed(1)}${SPACE}min`;
    // 999.7 µs is 1.00 ms, not 1000 µs.
    for (const [step, unit] of STEPS) if (size >= step * .9995) return `${sign}${digits(size / step)}${SPACE}${unit}`;
    return size ? `${sign}${size < 10 ? size.toFixed(1) : size.toFixed(0)}${SPACE}ns` : '0';
  }

  // Bytes.
  function bytes(value) {
    const size = Math.abs(value), sign = value < 0 ? '−' : '';
    for (const [step, unit] of [[2 ** 40, 'TiB'], [2 ** 30, 'GiB'], [2 ** 20, 'MiB'], [2 ** 10, 'KiB']]) if (size >= step * .9995) return `${sign}${digits(size / step)}${SPACE}${unit}`;
    return size ? `${sign}${size < 10 && !Number.isInteger(size) ? size.toFixed(1) : size.toFixed(0)}${SPACE}B` : '0';
  }

  const count = value => Number.isInteger(value) ? value.toLocaleString('en') : digits(value);

  // Many things: 12,345, then 1.23 M.
  function many(value) {
    if (value < 1e6) return count(Math.round(value));
    return value < 1e9 ? `${digits(value / 1e6)}${SPACE}M` : `${digits(value / 1e9)}${SPACE}G`;
  }

  function share(part) {
    if (!part) return '0';
    const percent = 100 * part;
    return `${Math.abs(percent) < .1 ? (percent < 0 ? '>−0.1' : '<0.1') : percent.toFixed(1).replace('-', '−')}${SPACE}%`;
  }

  // What became more or less says so.
  const signed = (value, form) => value > 0 ? `+${form(value)}` : form(value).replace('-', '−');

  return { time, bytes, count, many, share, signed };
})();
