import { describe, expect, it } from "vitest";
import type { Schemas } from "../../api/client";
import { parse } from "../../url/filters";
import { mirrored, question } from "./Differs";

const filters = (text: string) => parse(new URLSearchParams(text), "");
const difference = { key: "a", value: "b", scope: "span", selectionCount: 1, baselineCount: 9, selectionShare: 0.1, baselineShare: 0.9, difference: -0.8, significance: -6 };

describe("flows that failed against the others", () => {
  it("are all that did not go well: errors and time-outs", () =>
    expect(question(filters("operation=login"), null)).toMatchObject({ selection: { status: "success", operation: "login" }, baseline: { status: null, operation: "login" } }));
  it("are shown as the chosen ones", () => {
    const answer = { selection: { flows: 90, sampled: 90 }, baseline: { flows: 10, sampled: 8 }, attributes: [difference], services: [], versions: [], endpoints: [] } as unknown as Schemas["DiffAnswer"];
    expect(mirrored(answer)).toMatchObject({ selection: { flows: 10, sampled: 8 }, baseline: { flows: 90 }, attributes: [{ selectionShare: 0.9, baselineShare: 0.1, difference: 0.8, significance: 6 }] });
  });
});

it("asks for a region by when its flows may have begun", () =>
  expect(question(filters("operation=login"), { from: 100e6, to: 110e6, fast: 500, slow: 2000 }).selection)
    .toMatchObject({ startTime: "98000000", endTime: "109500000", minDuration: "500000", maxDuration: "2000000", window: null }));
