// A session of the console: the messages of its protocol over a WebSocket.

const VERSION = 1;

export class Session extends EventTarget {
  constructor() {
    super();
    this.next = 1;
    this.waiting = new Map();
    const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
    this.socket = new WebSocket(`${scheme}://${location.host}/session`);
    this.greeted = new Promise((resolve, reject) => {
      this.socket.addEventListener('open', () => this.send({ type: 'hello', version: VERSION }));
      this.socket.addEventListener('message', event => this.take(JSON.parse(event.data), resolve));
      this.socket.addEventListener('close', () => {
        const error = { message: this.refused ?? 'the connection is lost' };
        reject(error);
        for (const { reject: fail } of this.waiting.values()) fail(error);
        this.waiting.clear();
        this.dispatchEvent(new Event('close'));
      });
    });
    // Whoever does not wait for it hears of the end by the event.
    this.greeted.catch(() => {});
  }

  take(message, greet) {
    if (message.type === 'hello') {
      greet(message);
      return;
    }
    if (message.type === 'refused') {
      this.refused = message.message;
      return;
    }
    const asked = this.waiting.get(message.id);
    if (!asked) return;
    if (message.type === 'output') {
      asked.output?.(message.text + (message.partial ? '' : '\n'));
      return;
    }
    if (message.type === 'rows') {
      asked.rows.push(...message.rows);
      return;
    }
    this.waiting.delete(message.id);
    if (message.type === 'error') asked.reject(message);
    else asked.resolve(message.type === 'result' ? { ...message, rows: message.total === null ? null : asked.rows } : message);
  }

  /** Resolves to { value, rows or null, total, elapsed }, or to { type: 'incomplete' }. */
  evaluate(source, rows, output) {
    return this.ask({ type: 'eval', source, rows }, output);
  }

  async isIncomplete(source) {
    return (await this.ask({ type: 'check', source })).type === 'incomplete';
  }

  /** What could stand at the cursor: { start, names }, with `start` counted in characters. */
  async complete(line, at) {
    const bytes = new TextEncoder().encode(line);
    const cursor = new TextEncoder().encode(line.slice(0, at)).length;
    const { start, names } = await this.ask({ type: 'complete', line, cursor });
    return { start: new TextDecoder().decode(bytes.slice(0, start)).length, names };
  }

  /** Ends the evaluation that runs. */
  interrupt() {
    for (const [id, asked] of this.waiting) if (asked.type === 'eval') this.send({ type: 'interrupt', id });
  }

  ask(message, output) {
    const id = this.next++;
    return new Promise((resolve, reject) => {
      if (!this.send({ ...message, id })) {
        reject({ message: 'not connected' });
        return;
      }
      this.waiting.set(id, { type: message.type, resolve, reject, output, rows: [] });
    });
  }

  send(message) {
    if (this.socket.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(message));
    return true;
  }
}
