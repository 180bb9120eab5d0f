import { describe, expect, it } from "vitest";
import { parse } from "../../url/filters";
import { question, type CompareChoice } from "./choice";

const filters = (text: string) => parse(new URLSearchParams(text), "production");
const choice = (more: Partial<CompareChoice>): CompareChoice => ({ mode: "times", base: "previous", baselineEnvironment: "", compareService: "", version: "", baselineVersion: "", ...more });
const NOW_MS = 1_000_000_000;

describe("what is compared", () => {
  it("is the window before, of the same length and without a gap", () =>
    expect(question(filters("window=1h"), choice({}), NOW_MS)).toEqual({
      environment: "production", startTime: "996400000000", endTime: "1000000000000", baselineStartTime: "992800000000", baselineEndTime: "996400000000",
    }));
  it("is the same hour a day before", () =>
    expect(question(filters("startTime=90000000000&endTime=93600000000"), choice({ base: "day" }), NOW_MS)).toMatchObject({ baselineStartTime: "3600000000", baselineEndTime: "7200000000" }));
  it("is nothing until both sides are chosen", () => {
    expect(question(filters(""), choice({ mode: "environments" }), NOW_MS)).toBeNull();
    expect(question(filters("environment=*"), choice({ mode: "environments", baselineEnvironment: "qa" }), NOW_MS)).toBeNull();
    expect(question(filters(""), choice({ mode: "versions", compareService: "auth", version: "2" }), NOW_MS)).toBeNull();
  });
  it("is one service in two versions", () =>
    expect(question(filters("window=1h"), choice({ mode: "versions", compareService: "auth", version: "2", baselineVersion: "1" }), NOW_MS)).toEqual({
      environment: "production", window: "1h", service: "auth", version: "2", baselineVersion: "1",
    }));
});
