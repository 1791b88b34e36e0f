// One live region: fetched at most once a second, with its ETag, and morphed in place.
import { morph } from "./morph.js";

const SPACING = 1000;

export class Region {
  constructor(element, on) {
    Object.assign(this, { element, on, etag: "", fetchedAt: Date.now(), timer: 0, busy: false, again: false, gone: false, pill: null });
  }

  get topics() {
    return (this.element.dataset.liveTopic || "").split(/\s+/).filter(Boolean);
  }

  /** Whether the rows' cells show all that such a hint says, so that nothing needs fetching. */
  ignores(type) {
    return (this.element.dataset.liveIgnore || "").split(/\s+/).includes(type);
  }

  /** Parts that cost the server more say how far apart they want to be fetched. */
  spacing() {
    return Number(this.element.dataset.liveSpacing) || SPACING;
  }

  age() {
    return Date.now() - this.fetchedAt;
  }

  stop() {
    clearTimeout(this.timer);
    this.gone = true;
  }

  /** Something changed: fetch soon, but not in a hidden tab (it asks when it is seen again). */
  touch() {
    if (this.gone || document.hidden) return;
    if (this.busy) this.again = true;
    else this.timer ||= setTimeout(() => this.fetch(), Math.max(0, this.spacing() - this.age()));
  }

  async fetch({ force = false } = {}) {
    this.timer = 0;
    this.busy = true;
    this.fetchedAt = Date.now();
    try {
      const headers = { "X-Requested-With": "fleetd-live" };
      if (this.etag && !force) headers["If-None-Match"] = this.etag;
      await this.#apply(await fetch(this.element.dataset.liveUrl, { headers, cache: "no-store" }), force);
    } catch { /* the server is away: the banner says so and the next round tries again */ }
    this.busy = false;
    if (this.again) {
      this.again = false;
      this.touch();
    }
  }

  async #apply(response, force) {
    if (response.redirected || response.status === 401) return this.on.lost();
    if ([403, 404, 410].includes(response.status)) return this.#lose();
    if (response.status === 304) return this.on.done(this, false);
    if (!response.ok) return undefined;
    const text = await response.text();
    this.etag = response.headers.get("ETag") || "";
    this.show(text, force);
    return this.on.done(this, true);
  }

  // What may not be seen any more is taken off the page, not left to grow old on it.
  #lose() {
    const notice = document.createElement("p");
    notice.className = "empty quiet";
    notice.setAttribute("role", "status");
    notice.textContent = document.body.dataset.gone || "";
    this.element.replaceChildren(notice);
    this.stop();
  }

  show(text, force = false) {
    const fresh = new DOMParser().parseFromString(text, "text/html").body;
    const root = (this.element.id && fresh.querySelector(`#${CSS.escape(this.element.id)}`)) || fresh.firstElementChild;
    if (root) this.#offer(morph(this.element, document.importNode(root, true), { force }));
  }

  // Rows that would have moved under the pointer wait behind a button.
  #offer(waiting) {
    if (!waiting) {
      this.pill?.remove();
      this.pill = null;
      return;
    }
    if (!this.pill) {
      const button = document.createElement("button");
      Object.assign(button, { type: "button", className: "pill" });
      button.addEventListener("click", () => this.fetch({ force: true }));
      this.pill = document.createElement("div");
      this.pill.className = "pill-anchor"; // without height: a pill must not move the rows either
      this.pill.append(button);
      this.element.before(this.pill);
    }
    this.etag = ""; // what is shown is not what the tag names
    this.pill.firstChild.textContent = (this.element.dataset.changes || document.body.dataset.changes || "%s").replace("%s", waiting);
  }
}
