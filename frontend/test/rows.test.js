import assert from "node:assert/strict";
import { test } from "node:test";
import { statesOf } from "../src/rows.js";

test("a device that went offline is shown offline without asking again", () => {
  const hint = { type: "devices.device.offline.v1", data: { device_id: "1", reason: "silent" } };
  assert.deepEqual(statesOf(hint), [["device.1", { device_id: "1", reason: "silent", connectivity: "offline" }]]);
});

test("a device that came online was seen at the hint's time", () => {
  const hint = { type: "devices.device.online.v1", time: "2026-11-23T12:00:00Z", topic: "device.1", data: { connectivity: "degraded" } };
  assert.deepEqual(statesOf(hint), [["device.1", { connectivity: "degraded", last_seen_at: "2026-11-23T12:00:00Z" }]]);
});

test("one hint of the list fills the rows of many devices", () => {
  const hint = { type: "devices.state.changed", topic: "org.1.devices", data: { devices: [{ id: "1", connectivity: "online" }, { id: "2", connectivity: "degraded" }] } };
  assert.deepEqual(statesOf(hint).map(([topic]) => topic), ["device.1", "device.2"]);
});
