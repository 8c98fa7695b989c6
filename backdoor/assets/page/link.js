// The connection to the server: it comes back by itself, and the server sends no more than was seen.

const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 5000;
/** A server that says nothing for so long is taken for gone. */
const SILENCE = 15000;

export class Link extends EventTarget {
  constructor() {
    super();
    this.state = 'connecting';
    this.view = null;
    this.paused = false;
    this.held = null;
    /** Something was asked for that is not answered yet: snapshots go on, paused or not. */
    this.owed = false;
    this.pause = FIRST_PAUSE;
    this.since = Date.now();
    document.addEventListener('visibilitychange', () => this.release());
    setInterval(() => this.watch(), 1000);
  }

  async start() {
    try {
      const answer = await fetch('/me');
      if (answer.status === 401 || answer.status === 403) {
        this.become('unknown');
        this.retry();
        return;
      }
      if (!answer.ok) throw new Error(await answer.text());
      this.me = await answer.json();
      this.dispatchEvent(new Event('me'));
    } catch {
      this.become('away');
      this.retry();
      return;
    }
    const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
    const socket = new WebSocket(`${scheme}://${location.host}/live`);
    this.socket = socket;
    this.heard = Date.now();
    socket.addEventListener('open', () => {
      if (this.view) this.send({ type: 'view', ...this.view });
    });
    socket.addEventListener('message', event => this.take(JSON.parse(event.data)));
    socket.addEventListener('close', () => {
      if (this.socket !== socket) return;
      this.become('away');
      this.retry();
    });
  }

  take(snapshot) {
    this.heard = Date.now();
    this.pause = FIRST_PAUSE;
    this.become('live');
    this.dispatchEvent(new CustomEvent('snapshot', { detail: snapshot }));
    this.held = snapshot.number;
    // After it is on the screen; a page in the background gets no frame, and is sent nothing more.
    requestAnimationFrame(() => this.release());
  }

  /** Tells the server that the next one may come. */
  release(even = false) {
    if (this.held === null || (((this.paused && !this.owed) || document.hidden) && !even)) return;
    this.send({ type: 'seen', number: this.held });
    this.held = null;
  }

  look(view) {
    this.view = view;
    this.send({ type: 'view', ...view });
    // One who asks for something is shown it, paused or not.
    this.release(true);
  }

  kill(id, why) {
    const sent = this.send({ type: 'kill', id, why });
    this.release(true);
    return sent;
  }

  hold(paused) {
    this.paused = paused;
    this.release();
  }

  send(message) {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(message));
    return true;
  }

  watch() {
    const silent = Date.now() - this.heard > SILENCE;
    if (this.state === 'live' && silent && this.held === null && !this.paused && !document.hidden) {
      const { socket } = this;
      this.socket = null;
      socket.close();
      this.become('away');
      this.retry();
    }
    if (this.state !== 'live') this.dispatchEvent(new Event('state'));
  }

  retry() {
    setTimeout(() => this.start(), this.pause);
    this.pause = Math.min(this.pause * 2, LONGEST_PAUSE);
  }

  become(state) {
    if (state === this.state) return;
    if (this.state === 'live' || this.state === 'connecting') this.since = Date.now();
    this.state = state;
    if (state === 'live') this.held = null;
    this.dispatchEvent(new Event('state'));
  }
}
