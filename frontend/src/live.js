// Live regions and rows: a hint says what changed, the region is fetched again and morphed in place.
import { LiveSocket } from "./socket.js";
import { Region } from "./region.js";
import { paintRow, statesOf } from "./rows.js";
import { paintTimes, relativeText } from "./time.js";

const SAFETY = 60000;
const POLL = 15000;
const GRACE = 4000; // a reconnect this quick is nobody's business

const regions = new Map();
let socket = null;
let closedAt = 0;
let updatedAt = Date.now();
let signedOut = false;

const all = (selector) => document.querySelectorAll(selector);
const isPaused = () => Boolean(socket) && !socket.isOpen && Date.now() - closedAt > GRACE;

/** Reads the page again: which regions exist, which topics are on the screen. */
export function scan() {
  const present = new Set();
  for (const element of all("[data-live-url]")) {
    present.add(element);
    if (!regions.has(element)) regions.set(element, new Region(element, { done, lost: showSignedOut }));
  }
  for (const [element, region] of regions) {
    if (present.has(element)) continue;
    region.stop();
    regions.delete(element);
  }
  socket?.want(wantedTopics());
}

function wantedTopics() {
  const topics = new Map();
  for (const element of all("[data-live-topic], [data-live-row]")) {
    const names = element.dataset.liveTopic || element.dataset.liveRow;
    const since = element.dataset.liveSeq;
    for (const topic of names.split(/\s+/)) if (!topics.has(topic)) topics.set(topic, since ? Number(since) : null);
  }
  return topics;
}

function done(region, changed) {
  updatedAt = Date.now();
  if (!changed) return;
  paintTimes(region.element);
  window.htmx?.process(region.element);
  scan();
}

function regionsOf(topic) {
  return [...regions.values()].filter((region) => region.topics.includes(topic));
}

const refreshTopic = (topic) => {
  for (const region of regionsOf(topic)) region.touch();
  for (const row of all("[data-live-row]")) {
    if (row.dataset.liveRow === topic) regionAround(row)?.touch();
  }
};
const regionAround = (element) => regions.get(element.closest("[data-live-url]"));
const refreshAll = () => { for (const region of regions.values()) region.touch(); };

function onHint(topic, hint) {
  updatedAt = Date.now();
  if (!document.hidden) paintRows(statesOf(hint));
  for (const region of regionsOf(topic)) if (!region.ignores(hint.type)) region.touch();
  document.dispatchEvent(new CustomEvent("fleetd:hint", { detail: hint }));
}

function paintRows(states) {
  for (const [topic, fields] of states) {
    for (const row of all(`[data-live-row="${CSS.escape(topic)}"]`)) paintRow(row, fields);
  }
}

function onClose(code) {
  closedAt ||= Date.now();
  if (code === 4401) showSignedOut();
}

function onOpen() {
  const away = closedAt && Date.now() - closedAt > GRACE;
  closedAt = 0;
  if (away) refreshAll();
  paintFreshness();
}

function showSignedOut() {
  signedOut = true;
  for (const banner of all("[data-signed-out]")) banner.hidden = false;
  paintFreshness();
}

function paintFreshness() {
  const paused = isPaused();
  for (const banner of all("[data-live-banner]")) banner.hidden = !paused || signedOut;
  for (const element of all("[data-freshness]")) {
    const state = paused || signedOut ? "paused" : socket?.isOpen ? "live" : "connecting";
    const ago = relativeText(updatedAt, Date.now(), document.documentElement.lang || "en");
    const { live, [state]: word, updated } = JSON.parse(element.dataset.words);
    element.dataset.live = state;
    element.textContent = `${word || live} · ${updated} ${ago}`;
  }
}

function everySecond() {
  socket?.beat();
  if (document.hidden || signedOut) return;
  const limit = isPaused() ? POLL : SAFETY;
  for (const region of regions.values()) if (region.age() >= limit) region.touch();
  paintFreshness();
}

export function startLive() {
  const { wsPath } = document.body.dataset;
  scan();
  if (wsPath) {
    const url = new URL(wsPath, location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    closedAt = Date.now();
    socket = new LiveSocket(url, {
      open: onOpen, close: onClose, hint: onHint, resync: refreshTopic,
      refused: (topic) => { for (const region of regionsOf(topic)) region.touch(); },
    });
    socket.want(wantedTopics());
    socket.open();
  }
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refreshAll(); });
  document.addEventListener("htmx:afterSettle", () => { paintTimes(); scan(); });
  setInterval(everySecond, 1000);
  paintFreshness();
}
