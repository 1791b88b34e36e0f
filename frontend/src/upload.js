// Artifact upload in parts: the digest is computed here and compared by the server, progress is
// what the server has stored, and an upload that was cut goes on, also after the page was reloaded.
import { Sha256 } from "./sha256.js";

const API = "/api/v1/artifact-uploads";
const PART = 8 * 1024 * 1024;
const PAUSES = [1, 2, 4, 8, 15, 30, 30];
const BUSY = [429, 502, 503, 504];

const bytes = (n) => (n < 1e6 ? `${(n / 1e3).toFixed(1)} kB` : `${(n / 1e6).toFixed(1)} MB`);
const sleep = (seconds) => new Promise((done) => { setTimeout(done, seconds * 1000); });

class Refused extends Error {
  constructor(status, problem) {
    super((problem.errors || []).map((each) => each.detail)[0] || problem.detail || String(status));
    this.status = status;
  }
}

async function digestOf(file, report) {
  const digest = new Sha256();
  for (let at = 0; at < file.size; at += PART) {
    digest.update(new Uint8Array(await file.slice(at, at + PART).arrayBuffer()));
    report(Math.min(at + PART, file.size));
  }
  return digest.hex();
}

function showFile(form, file) {
  const name = form.querySelector("[data-upload-name]");
  name.textContent = file ? `${file.name} · ${bytes(file.size)}` : name.dataset.empty;
  const input = form.querySelector("[name=name]");
  if (file && input && !input.value) input.value = file.name;
}

async function call(token, method, address, body, headers = {}) {
  const answer = await fetch(address, {
    method, body, credentials: "same-origin", headers: { "X-CSRFToken": token, ...headers },
  });
  if (!answer.ok) throw new Refused(answer.status, await answer.json().catch(() => ({})));
  return answer;
}

// Tries again after a cut, with growing pauses; what the server refuses for good is thrown.
async function patiently(work, waiting) {
  for (const pause of PAUSES) {
    try {
      return await work();
    } catch (error) {
      if (error instanceof Refused && !BUSY.includes(error.status)) throw error;
      waiting();
      await sleep(pause);
    }
  }
  return work();
}

const offsetOf = (answer) => Number(answer.headers.get("Upload-Offset"));

// Storage can be switched off: then an upload begins anew after the page was reloaded.
function remembered(key) { try { return localStorage.getItem(key) || ""; } catch { return ""; } }
function remember(key, value) { try { value ? localStorage.setItem(key, value) : localStorage.removeItem(key); } catch { /* not needed */ } }

async function begin(token, key, file, name, digest) {
  const earlier = remembered(key);
  if (earlier) {
    try {
      await call(token, "HEAD", earlier);
      return earlier;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
    }
  }
  const described = { name, size_bytes: file.size, content_type: file.type.split(";")[0], sha256: digest };
  const headers = { "Content-Type": "application/json" };
  const made = await (await call(token, "POST", API, JSON.stringify(described), headers)).json();
  const address = `${API}/${made.id}`;
  remember(key, address);
  return address;
}

async function send(token, address, file, offset) {
  const headers = { "Content-Type": "application/offset+octet-stream", "Upload-Offset": String(offset) };
  try {
    return offsetOf(await call(token, "PATCH", address, file.slice(offset, offset + PART), headers));
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 409) throw error;
    return offsetOf(await call(token, "HEAD", address));
  }
}

async function upload(form, file, say, report) {
  const token = form.querySelector("[name=csrfmiddlewaretoken]").value;
  const name = form.querySelector("[name=name]").value.trim() || file.name;
  const digest = await digestOf(file, (done) => { report(done); say("hashing"); });
  const key = `fleetd-upload ${digest} ${name}`;
  const cut = () => say("waiting");
  const address = await patiently(() => begin(token, key, file, name, digest), cut);
  let stored = offsetOf(await patiently(() => call(token, "HEAD", address), cut));
  while (stored < file.size) {
    report(stored);
    say("sending", `${bytes(stored)} / ${bytes(file.size)}`);
    stored = await patiently(() => send(token, address, file, stored), cut);
  }
  report(stored);
  say("storing");
  await patiently(() => call(token, "POST", `${address}:complete`, "{}", { "Content-Type": "application/json" }), cut);
  remember(key, "");
}

async function onSubmit(event) {
  const form = event.target.closest("form[data-upload]");
  if (!form) return;
  const file = form.querySelector("input[type=file]").files[0];
  if (!file || !file.size) return;
  event.preventDefault();
  const bar = form.querySelector("progress");
  const text = form.querySelector("[data-upload-text]");
  const button = form.querySelector("button[type=submit]");
  const say = (key, value = "") => { text.textContent = (text.dataset[key] || "").replace("%s", value); };
  Object.assign(bar, { hidden: false, value: 0 });
  button.disabled = true;
  try {
    await upload(form, file, say, (done) => { bar.value = done / file.size; });
    location.assign(form.dataset.done);
  } catch (error) {
    say("failed", error instanceof Refused ? error.message : "");
    button.disabled = false;
  }
}

export function startUpload() {
  document.addEventListener("submit", onSubmit);
  document.addEventListener("change", ({ target }) => {
    const form = target.matches("input[type=file]") && target.closest("form[data-upload]");
    if (form) showFile(form, target.files[0]);
  });
  for (const kind of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      const drop = event.target.closest?.(".drop");
      if (!drop) return;
      event.preventDefault();
      drop.classList.toggle("is-over", kind === "dragover");
      if (kind !== "drop" || !event.dataTransfer.files.length) return;
      const input = drop.querySelector("input[type=file]");
      input.files = event.dataTransfer.files;
      input.dispatchEvent(new Event("change", { bubbles: true }));
    });
  }
}
