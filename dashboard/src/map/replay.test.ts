import { describe, expect, it } from "vitest";
import type { Edge, Node } from "../api/client";
import { amid, inAddress, lastMinutes, read, stepOf, stepsOf, timeOf } from "./replay";

describe("a replay", () => {
  const replay = lastMinutes("5m", 1_790_000_007_654_321);

  it("ends with the last ten seconds that have", () => {
    expect([replay.to % 10e6, 1_790_000_007_654_321 - replay.to < 10e6, stepsOf(replay), stepsOf(lastMinutes("15m", replay.to))]).toEqual([0, true, 30, 90]);
  });

  it("is made of steps that follow each other, from its beginning to its end", () => {
    expect([timeOf(replay, 0).from, timeOf(replay, 1).from, timeOf(replay, 29).to]).toEqual([replay.from, timeOf(replay, 0).to, replay.to]);
    for (const step of [0, 17, 29]) expect(stepOf(replay, timeOf(replay, step))).toBe(step);
  });

  it("stays within itself, whatever the address says", () => {
    expect([stepOf(replay, { kind: "live", window: "5m" }), stepOf(replay, { kind: "between", from: replay.to + 1e9, to: replay.to + 2e9 })]).toEqual([0, 29]);
    const written = inAddress(replay, 3);
    expect(read(written["replay"] ?? "")).toEqual(replay);
    expect(Number(written["endTime"]) - Number(written["startTime"])).toBe(10e6);
    for (const text of [null, "", "5m", "20000000-10000000", "0-15000000", "0-99990000000000"]) expect(read(text)).toBeNull();
  });

  it("keeps what is quiet in a step, without the figures of another one", () => {
    const node = (id: string, rate: number) => ({ id, status: "down", metrics: { rate, p95Latency: 5, requestCount: 7 } }) as unknown as Node;
    const edge = (rate: number) => ({ from: "a", to: "b", rate, callCount: 7 }) as unknown as Edge;
    const whole = { nodes: new Map([["a", node("a", 3)], ["b", node("b", 3)]]), edges: new Map([["a b", edge(3)], ["b a", edge(3)]]) };
    const { nodes, edges } = amid(whole, { nodes: new Map([["b", node("b", 9)], ["c", node("c", 9)]]), edges: new Map([["a b", edge(9)]]) });
    expect([...nodes].map(([id, { status, metrics: { rate, p95Latency } }]) => [id, status, rate, p95Latency])).toEqual([["a", "healthy", 0, null], ["b", "down", 9, 5], ["c", "down", 9, 5]]);
    expect([...edges].map(([key, { rate, callCount }]) => [key, rate, callCount])).toEqual([["a b", 9, 7], ["b a", 0, 0]]);
  });
});
