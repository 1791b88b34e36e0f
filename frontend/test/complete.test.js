import assert from "node:assert/strict";
import { test } from "node:test";
import { completed } from "../src/complete.js";

test("a suggestion takes the place of what was typed", () => {
  const found = completed("tags:lab AND conn = x", { start: 13, end: 17 }, "connectivity");
  assert.deepEqual(found, { text: "tags:lab AND connectivity = x", cursor: 25 });
});

test("the next word begins after a space, a key right away", () => {
  assert.equal(completed("conn", { start: 0, end: 4 }, "connectivity").text, "connectivity ");
  assert.equal(completed("lab", { start: 0, end: 3 }, "labels.").text, "labels.");
  assert.equal(completed("vers", { start: 0, end: 4 }, "version(").text, "version(");
});
