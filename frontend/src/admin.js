// The admin: themes, times, and a device list that follows the devices. Django's own scripts do the rest.
import "./css/admin.css";
import { DeviceList } from "./admin_devices.js";
import { startTheme } from "./theme.js";
import { startTimes } from "./time.js";

function start() {
  startTheme();
  startTimes();
  const panel = document.getElementById("device-live");
  if (panel) new DeviceList(panel).start();
}

if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
else start();
