import { describe, expect, it } from "vitest";
import type { FlowFrame } from "../../live/feed";
import { NO_FLOWS, told as toldAt, type Flows } from "./store";

const frame = (type: FlowFrame["type"], flowId: string, at: number) => ({ type, at, flow: { flowId, elapsedTime: 2_000_000 } }) as FlowFrame;
const told = (before: Flows, frames: FlowFrame[], omitted = 0, nowMs = frames.at(-1)?.at ?? 0, wasLost = false) => toldAt(before, { frames, omitted, wasLost }, nowMs);

describe("flows as they happen", () => {
  it("run from their first span until they end", () => {
    const running = told(NO_FLOWS, [frame("flow_start", "a", 10_000), frame("flow_update", "a", 10_500), frame("flow_start", "b", 10_600)], 0);
    expect([...running.running.keys()]).toEqual(["a", "b"]);
    expect(running.running.get("a")).toMatchObject({ since: 8_000, at: 10_500 });
    const ended = told(running, [frame("flow_complete", "a", 11_000)], 3);
    expect([[...ended.running.keys()], ended.ended.map(({ flow }) => flow.flowId), ended.omitted]).toEqual([["b"], ["a"], 3]);
  });
  it("are listed once, however often their end is said", () =>
    expect(told(NO_FLOWS, [frame("flow_complete", "a", 1), frame("flow_complete", "a", 2)], 0).ended).toHaveLength(1));
  it("stay within bounds, and are forgotten when nothing is heard", () => {
    const many = told(NO_FLOWS, Array.from({ length: 1_200 }, (_, index) => frame(index % 2 ? "flow_start" : "flow_complete", `f${index}`, index)), 0);
    expect([many.running.size, many.ended.length]).toEqual([500, 60]);
    expect(told(many, [frame("flow_start", "new", 200_000)], 0).running.size).toBe(1);
  });
  it("are forgotten on time when nothing at all is heard", () => {
    const one = told(NO_FLOWS, [frame("flow_start", "a", 10_000)]);
    expect(told(one, [], 0, 99_000)).toBe(one);
    expect(told(one, [], 0, 101_000).running.size).toBe(0);
  });
  it.each([[3, false], [0, true]])("are doubted soon where their end may have been left out: %d omitted, lost: %s", (omitted, wasLost) => {
    const gap = told(told(NO_FLOWS, [frame("flow_start", "a", 10_000), frame("flow_start", "b", 10_000)]), [], omitted, 11_000, wasLost);
    const heard = told(gap, [frame("flow_update", "b", 12_000)]);
    expect([...told(heard, [], 0, 14_000).running.keys()]).toEqual(["a", "b"]);
    expect([...told(heard, [], 0, 18_000).running.keys()]).toEqual(["b"]);
  });
});
