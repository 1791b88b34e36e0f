import assert from "node:assert/strict";
import { test } from "node:test";
import { backoff, LiveSocket, MAX_DELAY } from "../src/socket.js";

class Wire {
  static all = [];
  readyState = 0;
  sent = [];
  constructor() { Wire.all.push(this); }
  send(text) { this.sent.push(JSON.parse(text)); }
  connect() { this.readyState = 1; this.onopen(); }
  close() { this.readyState = 2; }
  drop(code = 1006) { this.readyState = 3; this.onclose({ code }); }
}

function start() {
  Wire.all = [];
  const seen = [];
  const waiting = [];
  const on = Object.fromEntries(["open", "close", "hint", "resync", "refused"]
    .map((name) => [name, (...args) => seen.push([name, ...args])]));
  const live = new LiveSocket("ws://x/ws/v1", on, { Socket: Wire, later: (act) => waiting.push(act) });
  return { live, seen, waiting, names: () => seen.map(([name, topic]) => `${name} ${topic ?? ""}`.trim()) };
}

test("only the difference between pages is sent", () => {
  const { live } = start();
  live.open();
  live.want(new Map([["device.1", 4], ["device.2", null]]));
  const wire = Wire.all[0];
  wire.connect();
  assert.deepEqual(wire.sent, [{ op: "subscribe", topic: "device.1", since: 4 }, { op: "subscribe", topic: "device.2" }]);
  live.want(new Map([["device.2", null], ["device.3", null]]));
  assert.deepEqual(wire.sent.slice(2), [{ op: "unsubscribe", topic: "device.1" }, { op: "subscribe", topic: "device.3" }]);
});

test("a gap in the numbers asks for a re-read, a repetition is ignored", () => {
  const { live, names } = start();
  live.want(new Map([["t", 4]]));
  live.receive({ topic: "t", seq: 5, data: {} });
  live.receive({ topic: "t", seq: 5, data: {} });
  assert.deepEqual(names(), ["hint t"]);
  live.receive({ topic: "t", seq: 8, data: {} });
  assert.deepEqual(names(), ["hint t", "hint t", "resync t"]);
});

test("a server that counts anew is believed", () => {
  const { live, names } = start();
  live.want(new Map([["t", 40]]));
  live.receive({ op: "resync", topic: "t", seq: 0 });
  live.receive({ topic: "t", seq: 1, data: {} });
  assert.deepEqual(names(), ["resync t", "hint t"]);
});

test("a topic without a starting number is read again once it is subscribed", () => {
  const { live, names } = start();
  live.want(new Map([["t", null]]));
  live.receive({ op: "subscribed", topic: "t", seq: 9 });
  live.receive({ topic: "t", seq: 10, data: {} });
  assert.deepEqual(names(), ["resync t", "hint t"]);
});

test("after a lost connection it continues behind the last number it saw", () => {
  const { live, waiting } = start();
  live.want(new Map([["t", 4]]));
  live.open();
  Wire.all[0].connect();
  live.receive({ topic: "t", seq: 5, data: {} });
  Wire.all[0].drop();
  waiting.shift()();
  Wire.all[1].connect();
  assert.deepEqual(Wire.all[1].sent, [{ op: "subscribe", topic: "t", since: 5 }]);
});

test("a connection closed because the session ended is not tried again", () => {
  const { live, waiting } = start();
  live.open();
  Wire.all[0].connect();
  Wire.all[0].drop(4401);
  assert.equal(waiting.length, 0);
});

test("a connection that died without a word is asked, then given up", () => {
  const { live, waiting, names } = start();
  live.open();
  Wire.all[0].connect();
  const now = live.heardAt;
  live.beat(now + 16000);
  live.beat(now + 17000);
  assert.deepEqual(Wire.all[0].sent, [{ op: "ping" }]);
  live.beat(now + 26000);
  assert.equal(waiting.length, 1);
  assert.ok(names().some((name) => name.startsWith("close")));
});

test("waiting grows, is never nothing and has a limit", () => {
  assert.ok(backoff(0, () => 0) >= 100);
  assert.ok(backoff(3, () => 1) > backoff(1, () => 1));
  assert.equal(backoff(40, () => 1), MAX_DELAY);
});
