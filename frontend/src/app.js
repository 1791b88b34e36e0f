import htmx from "htmx.org";
import { startChoices } from "./choices.js";
import { startCompletion } from "./complete.js";
import { startKeys } from "./keys.js";
import { startLive } from "./live.js";
import { startPasskeys } from "./passkeys.js";
import { startTheme } from "./theme.js";
import { startTimes } from "./time.js";
import { startUi, toast } from "./ui.js";
import { startUpload } from "./upload.js";

window.htmx = htmx;

function start() {
  startTheme();
  startTimes();
  startUi();
  startChoices();
  startCompletion();
  startKeys();
  startUpload();
  startPasskeys();
  startLive();
  document.addEventListener("fleetd:toast", ({ detail }) => toast(detail.text, detail.tone));
}

if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
else start();
