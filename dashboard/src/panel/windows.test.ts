import { describe, expect, it } from "vitest";
import { before } from "./windows";

describe("the window before", () => {
  it("moves on in steps", () => {
    const at = (second: number) => before({ kind: "live", window: "5m" }, second * 1000);
    expect(at(1009)).toEqual({ startTime: "400000000", endTime: "700000000" });
    expect([at(1000), at(1010)]).toEqual([at(1009), { startTime: "410000000", endTime: "710000000" }]);
  });
  it("moves on more slowly where it is long", () =>
    expect(before({ kind: "last", window: "1h" }, 10_019_000)).toEqual(before({ kind: "last", window: "1h" }, 9_960_000)));
  it("of a past time stays", () =>
    expect(before({ kind: "between", from: 200, to: 300 }, 0)).toEqual({ startTime: "100", endTime: "200" }));
});
