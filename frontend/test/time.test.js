import assert from "node:assert/strict";
import { test } from "node:test";
import { relativeText } from "../src/time.js";

const now = Date.parse("2026-11-23T12:00:00Z");
const ago = (seconds, options) => relativeText(now - seconds * 1000, now, "en", options);

test("a moment tells its age in the largest whole unit", () => {
  assert.deepEqual([2, 61, 7300, 90000].map((s) => ago(s)), ["2s ago", "1m ago", "2h ago", "yesterday"]);
});

test("a past moment that the clocks put into the future is now", () => {
  assert.equal(ago(-30), "now");
});

test("a deadline says how long is left", () => {
  assert.equal(ago(-3600, { future: true }), "in 1h");
});
