// A field that is completed: arrows choose, Enter or Tab takes, Escape closes. Nothing is chosen
// until an arrow was pressed, so that Enter searches for what was typed.

const WAIT = 120;
let lists = 0;

/** The field's text with a suggestion in it, and where the cursor goes. */
export function completed(text, { start, end }, suggestion) {
  const after = text.slice(end);
  const gap = /[.(:]$/.test(suggestion) || /^\s/.test(after) ? "" : " ";
  const before = text.slice(0, start) + suggestion + gap;
  return { text: before + after, cursor: before.length };
}

function startField(input) {
  const list = document.createElement("ul");
  list.className = "complete-list";
  list.id = `complete-${(lists += 1)}`;
  list.hidden = true;
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", input.getAttribute("aria-label") || "");
  input.after(list);
  for (const [name, value] of [["role", "combobox"], ["aria-autocomplete", "list"], ["aria-controls", list.id], ["aria-expanded", "false"]]) {
    input.setAttribute(name, value);
  }
  let found = { items: [] };
  let active = -1;
  let timer = 0;
  let asked = 0;

  function close() {
    list.hidden = true;
    active = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  function choose(index) {
    active = index;
    [...list.children].forEach((item, at) => item.setAttribute("aria-selected", String(at === index)));
    const item = list.children[index];
    item?.scrollIntoView({ block: "nearest" });
    if (item) input.setAttribute("aria-activedescendant", item.id);
  }

  function take(index) {
    const { text, cursor } = completed(input.value, found, found.items[index].text);
    input.value = text;
    input.setSelectionRange(cursor, cursor);
    close();
    input.dispatchEvent(new Event("input", { bubbles: true }));
  }

  function show() {
    list.replaceChildren(...found.items.map((item, at) => {
      const row = document.createElement("li");
      const code = document.createElement("code");
      const help = document.createElement("span");
      row.id = `${list.id}-${at}`;
      row.setAttribute("role", "option");
      row.setAttribute("aria-selected", "false");
      code.textContent = item.text;
      help.textContent = item.help;
      row.append(code, help);
      return row;
    }));
    list.hidden = !found.items.length;
    active = -1;
    input.removeAttribute("aria-activedescendant");
    input.setAttribute("aria-expanded", String(!list.hidden));
  }

  async function ask({ unasked = false } = {}) {
    const mine = (asked += 1);
    const query = new URLSearchParams({ q: input.value, at: String([...input.value.slice(0, input.selectionStart)].length) });
    const answer = await fetch(`${input.dataset.complete}?${query}`, { headers: { Accept: "application/json" } });
    if (!answer.ok || mine !== asked || document.activeElement !== input) return undefined;
    const data = await answer.json();
    if (unasked && !data.is_due) return close();
    // The server counts characters; the field counts UTF-16 units.
    const units = (count) => [...input.value].slice(0, count).join("").length;
    found = { ...data, start: units(data.start), end: units(data.end) };
    return show();
  }

  function onKey(event) {
    const open = !list.hidden;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (!open) return ask().catch(close);
      const step = event.key === "ArrowDown" ? 1 : -1;
      const count = found.items.length;
      return choose(active < 0 ? (step > 0 ? 0 : count - 1) : (active + step + count) % count);
    }
    if (open && active >= 0 && (event.key === "Enter" || event.key === "Tab")) {
      event.preventDefault();
      return take(active);
    }
    if (open && event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      return close();
    }
    if (event.key === "Enter") close();
    return undefined;
  }

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => ask({ unasked: true }).catch(close), WAIT);
  });
  input.addEventListener("keydown", onKey);
  input.addEventListener("blur", close);
  list.addEventListener("mousedown", (event) => {
    event.preventDefault(); // the field keeps the focus
    const row = event.target.closest("li");
    if (row) take([...list.children].indexOf(row));
  });
}

export function startCompletion() {
  for (const input of document.querySelectorAll("input[data-complete]")) startField(input);
}
