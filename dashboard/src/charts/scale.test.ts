import { describe, expect, it } from "vitest";
import { roundUp, runs, timeMarks } from "./scale";

describe("axes", () => {
  it.each([[0, 1], [0.07, 0.1], [1, 1], [1.01, 2], [2.2, 2.5], [84, 100], [240, 250], [1300, 2000]])("end at a round number: %d at %d", (value, top) =>
    expect(roundUp(value)).toBeCloseTo(top));
  it("mark a few times, apart from each other", () => expect(timeMarks(Array.from({ length: 30 }, (_, index) => index), 4)).toEqual([4, 12, 20, 28]));
  it("draw no line over a gap", () => expect(runs([1, 2, null, 3, null])).toEqual([[[0, 1], [1, 2]], [[3, 3]]]));
});
