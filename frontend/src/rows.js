// Cells that a hint fills directly, without a request: <td data-field="connectivity">.

const words = () => JSON.parse(document.body.dataset.words || "{}");

const PAINTERS = {
  state(cell, value) {
    const state = cell.querySelector(".state") || cell;
    state.dataset.state = value;
    const word = state.querySelector(".state-word");
    if (word) word.textContent = words()[value] || value;
  },
  time(cell, value) {
    const time = cell.querySelector("time");
    if (time) time.dateTime = value;
  },
  text(cell, value) {
    cell.textContent = value === null ? "" : String(value);
  },
};

/** What a hint says of which devices, as pairs of topic and fields. */
export function statesOf(hint) {
  const { devices, device_id: id } = hint.data || {};
  if (devices) return devices.map((state) => [`device.${state.id}`, state]);
  return [[id ? `device.${id}` : hint.topic, fieldsOf(hint)]];
}

// In the words of the cells: going offline is a type, not a field.
function fieldsOf({ type = "", time, data = {} }) {
  if (type.startsWith("devices.device.offline.")) return { ...data, connectivity: "offline" };
  if (type.startsWith("devices.device.online.")) return { ...data, last_seen_at: time };
  return data;
}

/** Fills the row's cells from the hint's data; fields that the row does not show are ignored. */
export function paintRow(row, data) {
  for (const cell of row.querySelectorAll("[data-field]")) {
    const { field, kind = "text" } = cell.dataset;
    if (!(field in data) || cell.dataset.value === String(data[field])) continue;
    cell.dataset.value = String(data[field]);
    PAINTERS[kind](cell, data[field]);
    if (kind === "time") continue;
    cell.classList.remove("flash");
    void cell.offsetWidth; // restarts the animation
    cell.classList.add("flash");
  }
}
