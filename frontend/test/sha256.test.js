import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import test from "node:test";
import { Sha256 } from "../src/sha256.js";

test("the digest is the platform's own, however the bytes are cut", () => {
  for (const size of [0, 1, 55, 56, 63, 64, 65, 119, 120, 128, 1000, 100_003]) {
    const bytes = randomBytes(size);
    const expected = createHash("sha256").update(bytes).digest("hex");
    for (const step of [1, 7, 64, 1000, size + 1]) {
      const digest = new Sha256();
      for (let at = 0; at < size; at += step) digest.update(bytes.subarray(at, at + step));
      assert.equal(digest.hex(), expected, `${size} bytes in steps of ${step}`);
    }
  }
});
