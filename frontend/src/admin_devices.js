// The admin's device list: cells change in place, rows never move. A hint that carries states is painted
// at once; any other hint, a gap, a lost socket and the safety interval make the list ask the server.
import { LiveSocket } from "./socket.js";
import { paintTime, relativeText } from "./time.js";

const SPACING = 1000;
const POLL = 15000;
const SAFETY = 60000;
const GRACE = 4000; // a reconnect this quick is nobody's business

export class DeviceList {
  constructor(panel) {
    Object.assign(this, {
      panel, words: JSON.parse(panel.dataset.words), cells: new Map(), socket: null, closedAt: Date.now(),
      askedAt: Date.now(), updatedAt: Date.now(), timer: 0, ended: false,
    });
    for (const cell of document.querySelectorAll("[data-device]")) {
      const known = this.cells.get(cell.dataset.device) || {};
      known[cell.dataset.cell] = cell;
      this.cells.set(cell.dataset.device, known);
    }
  }

  start() {
    const { wsPath, topic } = this.panel.dataset;
    const url = new URL(wsPath, location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    this.socket = new LiveSocket(url, {
      open: () => this.opened(), close: (code) => this.closed(code), hint: (_, hint) => this.hinted(hint),
      resync: () => this.askSoon(), refused: () => this.askSoon(),
    });
    this.socket.want(new Map([[topic, null]]));
    this.socket.open();
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.askSoon(); });
    setInterval(() => this.everySecond(), 1000);
    this.showFreshness();
  }

  get isPaused() {
    return !this.socket.isOpen && Date.now() - this.closedAt > GRACE;
  }

  opened() {
    this.closedAt = 0;
    this.showFreshness();
  }

  closed(code) {
    this.closedAt ||= Date.now();
    if (code === 4401) this.ended = true;
  }

  hinted({ data }) {
    if (document.hidden) return;
    if (Array.isArray(data?.devices)) this.paintAll(data.devices);
    else this.askSoon();
  }

  everySecond() {
    if (document.hidden || this.ended) return;
    if (Date.now() - this.askedAt >= (this.isPaused ? POLL : SAFETY)) this.askSoon();
    this.showFreshness();
  }

  askSoon() {
    if (document.hidden || this.ended || !this.cells.size) return;
    this.timer ||= setTimeout(() => this.ask(), Math.max(0, SPACING - (Date.now() - this.askedAt)));
  }

  async ask() {
    this.timer = 0;
    this.askedAt = Date.now();
    try {
      const url = `${this.panel.dataset.url}?ids=${[...this.cells.keys()].join(",")}`;
      const response = await fetch(url, { headers: { "X-Requested-With": "fleetd-live" }, cache: "no-store" });
      if (response.redirected || response.status === 401 || response.status === 403) this.ended = true;
      else if (response.ok) this.paintAll((await response.json()).devices);
    } catch { /* the server is away: the line says so and the next round tries again */ }
    this.showFreshness();
  }

  paintAll(devices) {
    this.updatedAt = Date.now();
    for (const device of devices) {
      const cells = this.cells.get(device.id);
      if (cells) this.paint(cells, device);
    }
  }

  paint(cells, { connectivity, last_seen_at: seen, why }) {
    const state = cells.connectivity?.querySelector(".state");
    if (state && connectivity && state.dataset.state !== connectivity) {
      state.dataset.state = connectivity;
      state.querySelector(".state-word").textContent = this.words[connectivity] || connectivity;
      flash(cells.connectivity);
      if (!why) this.askSoon(); // the reason is the server's to tell
    }
    if (why && cells.connectivity) cells.connectivity.title = why;
    if (seen && cells.last_seen_at) showMoment(cells.last_seen_at, seen);
  }

  showFreshness() {
    const line = this.panel.querySelector("[data-freshness]");
    const words = this.panel.dataset;
    line.dataset.state = this.ended || this.isPaused ? "paused" : this.socket.isOpen ? "live" : "connecting";
    const ago = relativeText(this.updatedAt, Date.now(), document.documentElement.lang || "en");
    const word = this.isPaused ? words.paused : words.live;
    line.textContent = this.ended ? words.ended : `${word} · ${words.updated} ${ago}`;
  }
}

function showMoment(cell, moment) {
  let time = cell.querySelector("time");
  if (!time) {
    time = document.createElement("time");
    time.dataset.relative = "past";
    cell.replaceChildren(time);
  }
  time.dateTime = moment;
  paintTime(time);
}

function flash(cell) {
  cell.classList.remove("flash");
  void cell.offsetWidth; // restarts the animation
  cell.classList.add("flash");
}
