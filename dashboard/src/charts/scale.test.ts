import { describe, expect, it } from "vitest";
import { roundUp, runs, timeMarks } from "./scale";

describe("axes", () => {
  it.each([[0, 1], [0.07, 0.1], [1, 1], [1.01, 2], [2.2, 2.5], [84, 100], [240, 250], [1300, 2000]])("end at a round number: %d at %d", (value, top) =>
    expect(roundUp(value)).toBeCloseTo(top));
  it("mark a few times, at round ones", () => {
    // Every 10 s from 07:41:20 on.
    const times = Array.from({ length: 30 }, (_, index) => (1_795_938_080 + index * 10) * 1e6);
    expect(timeMarks(times, 3)).toEqual([4, 16, 28]);
    expect(timeMarks(times, 5)).toEqual([4, 10, 16, 22, 28]);
  });
  it("draw no line over a gap", () => expect(runs([1, 2, null, 3, null])).toEqual([[[0, 1], [1, 2]], [[3, 3]]]));
});
