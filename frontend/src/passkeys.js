// Passkeys (WebAuthn). A button with data-passkey does one ceremony and submits its form:
// "login" fetches the challenge from the form's address, "get" and "create" find it in the page.

import { toast } from "./ui.js";

const decode = (text) => {
  const base64 = text.replace(/-/g, "+").replace(/_/g, "/");
  return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
};
const encode = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

const ids = (list) => (list || []).map((item) => ({ ...item, id: decode(item.id) }));

function requestOptions({ publicKey: key }) {
  return { publicKey: { ...key, challenge: decode(key.challenge), allowCredentials: ids(key.allowCredentials) } };
}

function creationOptions({ publicKey: key }) {
  return {
    publicKey: {
      ...key,
      challenge: decode(key.challenge),
      user: { ...key.user, id: decode(key.user.id) },
      excludeCredentials: ids(key.excludeCredentials),
    },
  };
}

const BINARY = ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"];

function asJson(credential) {
  const response = {};
  for (const name of BINARY) {
    if (credential.response[name]) response[name] = encode(credential.response[name]);
  }
  return JSON.stringify({
    id: credential.id,
    rawId: encode(credential.rawId),
    type: credential.type,
    authenticatorAttachment: credential.authenticatorAttachment,
    clientExtensionResults: credential.getClientExtensionResults(),
    response,
  });
}

async function optionsOf(button, form) {
  if (button.dataset.passkey !== "login") {
    return JSON.parse(document.getElementById(button.dataset.options).textContent);
  }
  const answer = await fetch(form.action, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(String(answer.status));
  return (await answer.json()).request_options;
}

async function perform(button) {
  const form = button.form;
  button.disabled = true;
  try {
    const options = await optionsOf(button, form);
    const credential =
      button.dataset.passkey === "create"
        ? await navigator.credentials.create(creationOptions(options))
        : await navigator.credentials.get(requestOptions(options));
    form.elements.credential.value = asJson(credential);
    form.submit();
  } catch (error) {
    button.disabled = false;
    if (error.name !== "AbortError") toast(button.dataset.failed, "bad");
  }
}

export function startPasskeys() {
  for (const button of document.querySelectorAll("[data-passkey]")) {
    if (!window.PublicKeyCredential || !navigator.credentials) {
      button.disabled = true;
      button.title = button.dataset.missing || "";
      continue;
    }
    button.addEventListener("click", () => perform(button));
  }
  for (const button of document.querySelectorAll("[data-show-password]")) {
    const input = document.getElementById(button.dataset.showPassword);
    button.addEventListener("click", () => {
      const isShown = input.type === "text";
      input.type = isShown ? "password" : "text";
      button.setAttribute("aria-pressed", String(!isShown));
    });
  }
}
