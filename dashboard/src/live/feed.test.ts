import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Feed, type Connection } from "./feed";
import type { GraphState } from "./state";

/** What a browser's socket looks like from inside: opened, spoken to and closed by the test. */
class Socket {
  static all: Socket[] = [];
  onopen = () => {};
  onmessage: (event: { data: string }) => void = () => {};
  onclose = () => {};
  sent: { type: string; resume?: unknown }[] = [];
  constructor() {
    Socket.all.push(this);
  }
  send(text: string) {
    this.sent.push(JSON.parse(text) as { type: string });
  }
  close() {
    this.onclose();
  }
  say(type: string, data: unknown) {
    this.onmessage({ data: JSON.stringify({ type, id: "live", data }) });
  }
}
const frame = { asOf: 1, window: {}, sequences: { 0: 7 }, staleness: {}, totals: {}, beingNamed: 0, nodes: [{ id: "a" }], edges: [] };

describe("the feed", () => {
  const heard: (Connection | GraphState)[] = [];
  const last = () => Socket.all.at(-1) as Socket;
  let feed: Feed;

  beforeEach(() => {
    vi.useFakeTimers();
    vi.stubGlobal("WebSocket", Socket);
    [Socket.all, heard.length] = [[], 0];
    feed = new Feed({ operation: "login" }, { graph: (state) => heard.push(state), connection: (connection) => heard.push(connection), flow: () => {}, omitted: () => {} });
    last().onopen();
  });
  afterEach(() => {
    feed.close();
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  it("subscribes with its filters and keeps the graph", () => {
    expect(last().sent).toEqual([{ type: "subscribe", id: "live", filters: { operation: "login" } }]);
    last().say("snapshot", frame);
    expect(heard.at(-1)).toMatchObject({ loaded: true, sequences: { 0: 7 } });
  });

  it("connects again by itself, says so, and resumes where it was", () => {
    last().say("snapshot", frame);
    last().close();
    expect(heard.at(-1)).toEqual({ state: "lost", tries: 1 });
    vi.advanceTimersByTime(400);
    expect(Socket.all).toHaveLength(2);
    last().onopen();
    expect(last().sent[0]?.resume).toEqual({ 0: 7 });
    last().say("graph_delta", { ...frame, nodes: [] });
    expect(heard.slice(-2)[0]).toEqual({ state: "open" });
  });

  it("waits longer each time, so that a server that starts isn't overrun", () => {
    for (const wait of [300, 1000, 2000]) {
      last().close();
      const before = Socket.all.length;
      vi.advanceTimersByTime(wait - 1);
      expect(Socket.all).toHaveLength(before);
      vi.advanceTimersByTime(1);
      expect(Socket.all).toHaveLength(before + 1);
    }
  });

  it("takes a server that is silent for one that is gone", () => {
    last().say("snapshot", frame);
    vi.advanceTimersByTime(8_000);
    expect(Socket.all.length).toBeGreaterThan(1);
  });

  it("stays closed once it is closed", () => {
    feed.close();
    vi.advanceTimersByTime(60_000);
    expect(Socket.all).toHaveLength(1);
  });
});
