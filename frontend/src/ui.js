// The small things: copy, dialogs, toasts, menus, the drawer on narrow screens.

const icon = (name) => {
  const base = document.body.dataset.icons;
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `${base}#${name}`);
  svg.append(use);
  return svg;
};

const TOAST_ICONS = { ok: "circle-check", bad: "circle-x", warn: "alert-triangle", info: "info-circle" };

export function toast(text, tone = "info", seconds = 7) {
  const box = document.querySelector(".toasts");
  if (!box) return;
  const item = document.createElement("div");
  item.className = "toast-item";
  item.dataset.tone = tone;
  const words = document.createElement("p");
  words.textContent = text;
  const close = document.createElement("button");
  close.type = "button";
  close.dataset.toastClose = "";
  close.setAttribute("aria-label", document.body.dataset.close || "Close");
  close.append(icon("x"));
  item.append(icon(TOAST_ICONS[tone] || "info-circle"), words, close);
  box.append(item);
  setTimeout(() => item.remove(), seconds * 1000);
}

// Pages served over plain HTTP from another machine have no clipboard API.
async function copyText(text) {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "visually-hidden";
  (document.querySelector("dialog[open]") || document.body).append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  if (!copied) throw new Error("the browser refused to copy");
  return undefined;
}

async function onCopy(button) {
  const source = button.dataset.copyFrom && document.querySelector(button.dataset.copyFrom);
  try {
    await copyText((source ? source.textContent : button.dataset.copy).trim());
  } catch {
    return toast(document.body.dataset.copyFailed, "bad");
  }
  const use = button.querySelector("use");
  use?.setAttribute("href", `${document.body.dataset.icons}#check`);
  button.classList.add("is-copied");
  return setTimeout(() => {
    use?.setAttribute("href", `${document.body.dataset.icons}#copy`);
    button.classList.remove("is-copied");
  }, 1600);
}

function openDialog(id) {
  const dialog = document.getElementById(id);
  if (!dialog || dialog.open) return Boolean(dialog);
  dialog.showModal();
  dialog.querySelector("[autofocus], input:not([type=hidden]), textarea")?.focus();
  return true;
}

// A button whose dialog is not here leads to the page that asks the same.
function onDialogOpen(element, event) {
  if (openDialog(element.dataset.dialogOpen)) event.preventDefault();
}

function setNav(open) {
  document.documentElement.classList.toggle("nav-open", open);
  document.querySelector("[data-nav-toggle]")?.setAttribute("aria-expanded", String(open));
  if (open) document.querySelector(".side a")?.focus();
}

const CLICKS = [
  ["[data-copy], [data-copy-from]", (element) => onCopy(element)],
  ["[data-dialog-open]", onDialogOpen],
  ["[data-dialog-close]", (element) => element.closest("dialog")?.close()],
  ["[data-toast-close]", (element) => element.closest(".toast-item").remove()],
  ["[data-nav-toggle]", () => setNav(!document.documentElement.classList.contains("nav-open"))],
  [".nav-shade", () => setNav(false)],
];

function onClick(event) {
  for (const [selector, act] of CLICKS) {
    const element = event.target.closest(selector);
    if (element) act(element, event);
  }
  if (event.target.matches("dialog.dialog")) event.target.close(); // the backdrop
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target) || event.target.closest("[data-dialog-open]")) menu.open = false;
  }
}

function onKey(event) {
  if (event.key !== "Escape") return;
  setNav(false);
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
}

// A form that is on its way cannot be sent a second time.
function onSubmit(event) {
  const form = event.target;
  if (form.method !== "post" || form.matches("[hx-post], [data-upload]") || event.defaultPrevented) return;
  const button = event.submitter;
  setTimeout(() => {
    for (const each of form.querySelectorAll("button[type=submit]")) each.disabled = true;
    button?.setAttribute("aria-busy", "true");
  });
}

export function startUi() {
  document.addEventListener("click", onClick);
  document.addEventListener("keydown", onKey);
  document.addEventListener("submit", onSubmit);
  const begun = document.querySelector("dialog[data-dialog-now]");
  if (begun) openDialog(begun.id);
  window.addEventListener("pageshow", ({ persisted }) => { if (persisted) location.reload(); });
  document.addEventListener("htmx:responseError", ({ detail }) => {
    if ((detail.xhr.getResponseHeader("HX-Trigger") || "").includes("fleetd:toast")) return; // says it itself
    const id = detail.xhr.getResponseHeader("Request-Id");
    toast(`${document.body.dataset.failed} (${detail.xhr.status}${id ? `, ${id}` : ""})`, "bad");
  });
  // A page that answered a form: loading it again must not send the form again.
  const answered = document.querySelector("[data-replace-url]");
  if (answered) history.replaceState(null, "", answered.dataset.replaceUrl);
  // On narrow screens the sections are a row that scrolls: the open one is to be seen.
  const sections = document.querySelector(".settings-nav");
  const open = sections && sections.querySelector("[aria-current]");
  if (open) {
    const [row, link] = [sections.getBoundingClientRect(), open.getBoundingClientRect()];
    sections.scrollLeft += link.left - row.left - (row.width - link.width) / 2;
  }
  // Filters left empty stay out of the address.
  document.addEventListener("htmx:configRequest", ({ detail }) => {
    if (detail.verb !== "get") return;
    for (const name of [...detail.formData.keys()]) if (detail.formData.get(name) === "") detail.formData.delete(name);
  });
  for (const item of document.querySelectorAll(".toast-item")) setTimeout(() => item.remove(), 9000);
}
