// The connection to the server: it comes back by itself, and the server sends no more than was seen.
//
// A page that is paused shows nothing new but what somebody asks for. Each change of what is looked at is a wish with a number;
// the snapshot that answers it has that number, and those before it are passed over.

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
    this.wish = 0;
    /** Which parts of the wish are not answered yet. */
    this.awaits = { panel: false, detail: false };
    /** Questions that are not answered yet. */
    this.questions = 0;
    /** What is shown goes on while the page is paused. */
    this.goesOn = false;
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
      this.questions = 0;
      if (this.view) this.send({ type: 'view', ...this.view, wish: this.wish });
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
    const still = this.paused && !this.goesOn, answered = snapshot.wish === this.wish;
    const shows = { figures: !this.paused, view: !still || (answered && this.awaits.panel), detail: !still || (answered && this.awaits.detail) };
    if (answered) this.awaits = { panel: false, detail: false };
    this.questions = Math.max(this.questions - snapshot.answers.length, 0);
    this.dispatchEvent(new CustomEvent('snapshot', { detail: { ...snapshot, shows } }));
    this.held = snapshot.number;
    // After it is on the screen; a page in the background gets no frame, and is sent nothing more.
    requestAnimationFrame(() => this.release());
  }

  /** Something was asked for that is not answered yet: snapshots come, paused or not. */
  get owed() {
    return this.awaits.panel || this.awaits.detail || this.questions > 0 || this.goesOn;
  }

  /** Tells the server that the next one may come. */
  release(even = false) {
    if (this.held === null || (((this.paused && !this.owed) || document.hidden) && !even)) return;
    this.send({ type: 'seen', number: this.held });
    this.held = null;
  }

  /** Somebody wants to see this. */
  look(view, goesOn = false) {
    const part = one => JSON.stringify({ ...one, open: null });
    const was = this.view;
    this.goesOn = goesOn;
    if (was && part(was) === part(view) && was.open === view.open) return;
    if (!was || part(was) !== part(view)) this.awaits.panel = true;
    if (was?.open !== view.open) this.awaits.detail = view.open !== null;
    this.wishFor(view);
  }

  /** The same view goes on from another place: nobody has asked for that. */
  follow(view) {
    this.view = view;
    this.send({ type: 'view', ...view, wish: this.wish });
  }

  /** The coroutine that is open is wanted as it is now. */
  refresh() {
    if (!this.paused || !this.view || this.view.open === null) return;
    this.awaits.detail = true;
    this.wishFor(this.view);
  }

  wishFor(view) {
    this.view = view;
    this.wish += 1;
    this.send({ type: 'view', ...view, wish: this.wish });
    this.release(true);
  }

  /** Sends what will be answered in a snapshot; false if there is no connection. */
  ask(message) {
    if (!this.send(message)) return false;
    this.questions += 1;
    this.release(true);
    return true;
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
