import { expect, it } from "vitest";
import { parse } from "../../url/filters";
import { question } from "./Differs";

const filters = (text: string) => parse(new URLSearchParams(text), "");
it("takes all that did not go well as failed: errors and time-outs", () =>
  expect(question(filters("operation=login"), null)).toEqual({ selection: { status: "error,timeout", operation: "login", window: "5m" }, baseline: { operation: "login", window: "5m" } }));

it("asks for a region by when its flows may have begun", () =>
  expect(question(filters("operation=login"), { from: 100e6, to: 110e6, fast: 500, slow: 2000 }).selection)
    .toMatchObject({ startTime: "98000000", endTime: "109500000", minDuration: "500000", maxDuration: "2000000", window: null }));
