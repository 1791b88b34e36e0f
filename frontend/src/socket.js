// The tab's one WebSocket: many topics, sequence numbers, reconnect with back-off. Knows nothing of
// the page; `on` is told what arrives.

export const FIRST_DELAY = 500;
export const MAX_DELAY = 30000;
export const QUIET = 15000; // after this much silence the server is asked whether it is there
export const DEAD = 25000; // a network that went away says nothing, so silence has to

const chance = () => crypto.getRandomValues(new Uint32Array(1))[0] / 2 ** 32;

/** Full jitter: a thousand tabs that lost the same server do not come back in one beat. */
export function backoff(attempt, random = chance) {
  const ceiling = Math.min(MAX_DELAY, FIRST_DELAY * 2 ** attempt);
  return Math.round(ceiling * (0.3 + 0.7 * random()));
}

export class LiveSocket {
  constructor(url, on, { Socket = globalThis.WebSocket, later = (act, ms) => setTimeout(act, ms) } = {}) {
    Object.assign(this, { url, on, Socket, later, topics: new Map(), attempt: 0, socket: null, heardAt: 0, askedAt: 0 });
  }

  get isOpen() {
    return this.socket !== null && this.socket.readyState === 1;
  }

  open() {
    if (this.socket) return;
    const socket = new this.Socket(this.url);
    this.socket = socket;
    socket.onopen = () => {
      this.attempt = 0;
      this.heardAt = Date.now();
      for (const topic of this.topics.keys()) this.#subscribe(topic);
      this.on.open();
    };
    socket.onmessage = ({ data }) => this.receive(JSON.parse(data));
    socket.onclose = ({ code }) => this.#closed(code);
  }

  #closed(code) {
    this.socket = null;
    this.on.close(code);
    if (code === 4401) return; // signed out: coming back would not help
    this.later(() => this.open(), backoff(this.attempt));
    this.attempt += 1;
  }

  /** Sends the difference between what is wanted and what is subscribed, nothing else. */
  want(topics) {
    for (const topic of [...this.topics.keys()]) {
      if (topics.has(topic)) continue;
      this.topics.delete(topic);
      this.#send({ op: "unsubscribe", topic });
    }
    for (const [topic, since] of topics) {
      if (this.topics.has(topic)) continue;
      this.topics.set(topic, since ?? null);
      this.#subscribe(topic);
    }
  }

  #subscribe(topic) {
    const since = this.topics.get(topic);
    this.#send(since === null ? { op: "subscribe", topic } : { op: "subscribe", topic, since });
  }

  #send(message) {
    if (this.isOpen) this.socket.send(JSON.stringify(message));
  }

  /** To be called every second: finds out about a connection that died without a word. */
  beat(now = Date.now()) {
    if (!this.isOpen) return;
    const silent = now - this.heardAt;
    if (silent > DEAD) {
      const dead = this.socket;
      dead.onclose = null; // closing a dead one can take minutes
      dead.close();
      this.#closed(4408);
    } else if (silent > QUIET && this.askedAt < this.heardAt) {
      this.askedAt = now;
      this.#send({ op: "ping" });
    }
  }

  receive(message) {
    const { op, topic } = message;
    this.heardAt = Date.now();
    if (!this.topics.has(topic)) return;
    if (op === "subscribed") this.#subscribed(topic, message.seq);
    else if (op === "resync") this.#resync(topic, message.seq);
    else if (op === "error") this.on.refused(topic, message.code);
    else if (!op) this.#hint(topic, message);
  }

  // Without a number to continue from, what happened between rendering and now is unknown: re-read.
  #subscribed(topic, seq) {
    const unknown = this.topics.get(topic) === null;
    if (unknown) this.topics.set(topic, seq ?? 0);
    if (unknown) this.on.resync(topic);
  }

  // The server counts anew after it lost its memory: its number holds, even a smaller one.
  #resync(topic, seq) {
    this.topics.set(topic, seq ?? 0);
    this.on.resync(topic);
  }

  #hint(topic, hint) {
    const last = this.topics.get(topic);
    if (last !== null && hint.seq <= last) return; // replayed, seen already
    this.topics.set(topic, hint.seq);
    this.on.hint(topic, hint);
    if (last !== null && hint.seq > last + 1) this.on.resync(topic);
  }
}
