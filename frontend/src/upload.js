// Artifact upload: the digest is computed here and compared by the server, progress is real.
const HASH_LIMIT = 512 * 1024 * 1024; // the browser hashes in one piece; beyond this it would not fit

const bytes = (n) => (n < 1e6 ? `${(n / 1e3).toFixed(1)} kB` : `${(n / 1e6).toFixed(1)} MB`);

async function digestOf(file) {
  if (!crypto.subtle || file.size > HASH_LIMIT) return "";
  const hash = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
  return [...new Uint8Array(hash)].map((b) => b.toString(16).padStart(2, "0")).join("");
}

function showFile(form, file) {
  const name = form.querySelector("[data-upload-name]");
  name.textContent = file ? `${file.name} · ${bytes(file.size)}` : name.dataset.empty;
  const input = form.querySelector("[name=name]");
  if (file && input && !input.value) input.value = file.name;
}

function send(form, digest, report) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const data = new FormData(form);
    data.set("sha256", digest);
    request.open("POST", form.action);
    request.setRequestHeader("X-Requested-With", "fleetd-upload");
    request.upload.onprogress = ({ loaded, total }) => report(loaded, total);
    request.onload = () => resolve(request);
    request.onerror = () => reject(new Error("connection lost"));
    request.send(data);
  });
}

async function onSubmit(event) {
  const form = event.target.closest("form[data-upload]");
  if (!form) return;
  const file = form.querySelector("input[type=file]").files[0];
  if (!file) return;
  event.preventDefault();
  const bar = form.querySelector("progress");
  const text = form.querySelector("[data-upload-text]");
  const button = form.querySelector("button[type=submit]");
  const say = (key, value = "") => { text.textContent = (text.dataset[key] || "").replace("%s", value); };
  Object.assign(bar, { hidden: false, value: 0 });
  button.disabled = true;
  try {
    say("hashing");
    const digest = await digestOf(file);
    const answer = await send(form, digest, (loaded, total) => {
      bar.value = loaded / total;
      if (loaded < total) say("sending", `${bytes(loaded)} / ${bytes(total)}`);
      else say("storing");
    });
    await finish(answer);
  } catch {
    say("failed");
  }
  button.disabled = false;
}

// The server answers with the page to show: the artifact, or the form with what is wrong.
async function finish(answer) {
  if (answer.status < 400 && answer.responseURL !== location.href) {
    location.assign(answer.responseURL);
    return;
  }
  const fresh = new DOMParser().parseFromString(answer.responseText, "text/html");
  const main = fresh.querySelector("#main");
  if (!main) throw new Error("no page in the answer");
  document.querySelector("#main").replaceWith(document.importNode(main, true));
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
