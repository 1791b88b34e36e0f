// Choosing among rows: boxes with one act for all of them, and long menus that are searched.

function startBulk(form) {
  const bar = form.querySelector("[data-bulk-bar]");
  if (!bar) return;
  const boxes = () => [...form.querySelectorAll("tbody input[type=checkbox]")];
  const all = form.querySelector("[data-bulk-all]");
  const count = bar.querySelector("[data-bulk-count]");
  const nothing = count.textContent;
  let last = null;

  function show() {
    const chosen = boxes().filter((box) => box.checked).length;
    count.textContent = chosen ? count.dataset.words.replace("%s", chosen) : nothing;
    bar.classList.toggle("is-active", chosen > 0);
    for (const act of bar.querySelectorAll("[data-bulk-act]")) act.disabled = !chosen;
    all.checked = chosen > 0 && chosen === boxes().length;
    all.indeterminate = chosen > 0 && chosen < boxes().length;
  }

  form.addEventListener("click", (event) => {
    const box = event.target;
    if (!box.matches("tbody input[type=checkbox]")) return;
    const rows = boxes();
    if (event.shiftKey && last !== null) {
      const [from, to] = [rows.indexOf(last), rows.indexOf(box)].sort((a, b) => a - b);
      for (const each of rows.slice(from, to + 1)) each.checked = box.checked;
    }
    last = box;
  });
  form.addEventListener("change", (event) => {
    if (event.target === all) for (const box of boxes()) box.checked = all.checked;
    show();
  });
  show();
}

function startSearch(input) {
  const list = document.getElementById(input.dataset.choices);
  const none = list.querySelector("[data-choices-none]");
  input.addEventListener("input", () => {
    const wanted = input.value.trim().toLowerCase();
    let shown = 0;
    for (const choice of list.querySelectorAll("[data-choice]")) {
      choice.hidden = !choice.dataset.choice.includes(wanted);
      shown += choice.hidden ? 0 : 1;
    }
    none.hidden = shown > 0;
  });
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    list.querySelector("[data-choice]:not([hidden])")?.click();
  });
  input.closest("details")?.addEventListener("toggle", ({ target }) => { if (target.open) input.focus(); });
}

export function startChoices() {
  for (const form of document.querySelectorAll("form[data-bulk]")) startBulk(form);
  for (const input of document.querySelectorAll("input[data-choices]")) startSearch(input);
}
