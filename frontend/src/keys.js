// Keyboard: `/` filter, `?` help, `g` then a letter goes places, `j`/`k` rows, `n` next page.
// None fires inside a field or a dialog.

export const isTyping = (element) =>
  Boolean(element?.closest?.("input, textarea, select, [contenteditable], dialog[open]"));

let waitingForPlace = 0;

function goTo(key) {
  document.querySelector(`[data-go="${CSS.escape(key)}"]`)?.click();
}

function moveRow(step) {
  const links = [...document.querySelectorAll("[data-row-link]")];
  if (!links.length) return;
  const now = links.indexOf(document.activeElement?.closest("tr, li")?.querySelector("[data-row-link]"));
  const next = now < 0 ? (step > 0 ? 0 : links.length - 1) : now + step;
  links[Math.min(Math.max(next, 0), links.length - 1)].focus();
}

const KEYS = {
  "/": () => document.querySelector("[data-filter]")?.focus(),
  "?": () => document.getElementById("keys")?.showModal(),
  g: () => { waitingForPlace = Date.now(); },
  j: () => moveRow(1),
  k: () => moveRow(-1),
  n: () => document.querySelector("a[rel=next]")?.click(),
};

export function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  if (Date.now() - waitingForPlace < 1500) {
    waitingForPlace = 0;
    goTo(event.key);
    return;
  }
  const act = Object.hasOwn(KEYS, event.key) ? KEYS[event.key] : null;
  if (!act) return;
  event.preventDefault();
  act();
}

export function startKeys() {
  document.addEventListener("keydown", onKey);
}
