import assert from "node:assert/strict";
import { test } from "node:test";
import { fieldsOf } from "../src/rows.js";

test("a device that went offline is shown offline without asking again", () => {
  const hint = { type: "devices.device.offline.v1", data: { device_id: "1", reason: "silent" } };
  assert.equal(fieldsOf(hint).connectivity, "offline");
});

test("a device that came online was seen at the hint's time", () => {
  const hint = { type: "devices.device.online.v1", time: "2026-11-23T12:00:00Z", data: { connectivity: "degraded" } };
  assert.deepEqual(fieldsOf(hint), { connectivity: "degraded", last_seen_at: "2026-11-23T12:00:00Z" });
});
