// Small curves of the last minutes.

const NS = 'http://www.w3.org/2000/svg';
const SAMPLES = 120;
const WIDTH = 240;
const HEIGHT = 36;

/** A curve that moves on with each sample. Without a fixed top it scales to the largest. */
export class Spark {
  constructor(top = null) {
    this.top = top;
    this.samples = [];
    this.element = document.createElementNS(NS, 'svg');
    this.element.setAttribute('class', 'spark');
    this.element.setAttribute('viewBox', `0 0 ${WIDTH} ${HEIGHT}`);
    this.element.setAttribute('preserveAspectRatio', 'none');
    this.element.setAttribute('aria-hidden', 'true');
    this.area = document.createElementNS(NS, 'path');
    this.area.setAttribute('class', 'area');
    this.line = document.createElementNS(NS, 'path');
    this.line.setAttribute('class', 'line');
    this.element.append(this.area, this.line);
  }

  push(value) {
    this.samples.push(value);
    if (this.samples.length > SAMPLES) this.samples.shift();
    const top = this.top ?? Math.max(...this.samples, 1e-12) * 1.15;
    const step = WIDTH / (SAMPLES - 1);
    const start = WIDTH - (this.samples.length - 1) * step;
    const points = this.samples.map((sample, at) => {
      const share = Math.min(Math.max(sample / top, 0), 1);
      return `${(start + at * step).toFixed(1)},${(HEIGHT - 1 - share * (HEIGHT - 3)).toFixed(1)}`;
    });
    this.line.setAttribute('d', `M${points.join('L')}`);
    this.area.setAttribute('d', `M${start.toFixed(1)},${HEIGHT}L${points.join('L')}L${WIDTH},${HEIGHT}Z`);
  }
}
