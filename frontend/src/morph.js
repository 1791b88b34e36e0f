// Turns one piece of the page into its newer version in place: elements keep their identity, so
// focus, scroll position, open menus and half-typed text survive. Children pair by `id` or
// `data-key`, the others by position and tag.

const keyOf = (node) => (node.nodeType === 1 ? node.id || node.getAttribute("data-key") : null) || null;

// What the reader has changed since the page was rendered belongs to the reader.
const OWN = { DETAILS: ["open"], DIALOG: ["open"], TIME: ["title", "data-painted"], BUTTON: ["aria-expanded"] };

function morphAttributes(from, to) {
  const own = OWN[from.tagName] || [];
  for (const { name, value } of [...to.attributes]) {
    if (from.getAttribute(name) !== value && !own.includes(name)) from.setAttribute(name, value);
  }
  for (const { name } of [...from.attributes]) {
    if (!to.hasAttribute(name) && !own.includes(name)) from.removeAttribute(name);
  }
}

const isField = (node) => ["INPUT", "TEXTAREA", "SELECT"].includes(node.tagName);
const isTicking = (from, to) => from.tagName === "TIME" && from.hasAttribute("data-relative") && from.dateTime === to.dateTime;

/** Morphs `from` into `to`. Returns how many list rows were held back (see `held`). */
export function morph(from, to, options = {}) {
  if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName) {
    from.replaceWith(to);
    return 0;
  }
  if (from.nodeType !== 1) {
    if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue;
    return 0;
  }
  if (from.isEqualNode(to) || isTicking(from, to) || from.hasAttribute("data-live-keep")) return 0;
  if (isField(from) && from === document.activeElement) return 0;
  morphAttributes(from, to);
  if (from.hasAttribute("data-live-list") && held(from, options)) return morphHeldList(from, to, options);
  return morphChildren(from, to, options);
}

/** A list under the pointer or with the focus in it must not move under the hand; some never move. */
function held(list, { force = false } = {}) {
  const busy = list.matches(":hover") || list.contains(document.activeElement);
  return !force && (busy || list.hasAttribute("data-live-hold"));
}

function morphHeldList(from, to, options) {
  const news = new Map([...to.children].map((child) => [keyOf(child), child]));
  let waiting = 0;
  for (const child of [...from.children]) {
    const next = news.get(keyOf(child));
    if (next) morph(child, next, options);
    else waiting += 1;
    news.delete(keyOf(child));
  }
  // What new rows have pushed off the end of a page is no news.
  return from.hasAttribute("data-live-news") ? news.size : waiting + news.size;
}

/** The next unnamed sibling of the same kind; texts pair only where they stand. */
function likeness(cursor, next) {
  let node = cursor;
  while (node && next.nodeType === 1 && (keyOf(node) || node.nodeName !== next.nodeName)) node = node.nextSibling;
  return node && !keyOf(node) && node.nodeName === next.nodeName ? node : null;
}

function morphChildren(from, to, options) {
  const keyed = new Map();
  for (const child of from.childNodes) if (keyOf(child)) keyed.set(keyOf(child), child);
  let waiting = 0;
  let cursor = from.firstChild;
  for (const next of [...to.childNodes]) {
    const key = keyOf(next);
    let match = keyed.get(key);
    if (!key) match = likeness(cursor, next);
    if (!match) {
      from.insertBefore(next, cursor);
      continue;
    }
    keyed.delete(key);
    if (match === cursor) cursor = cursor.nextSibling;
    else from.insertBefore(match, cursor);
    waiting += morph(match, next, options);
  }
  while (cursor) {
    const gone = cursor;
    cursor = cursor.nextSibling;
    gone.remove();
  }
  return waiting;
}
