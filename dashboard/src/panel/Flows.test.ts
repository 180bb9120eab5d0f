import { expect, it } from "vitest";
import { newestOf } from "./Flows";

it("lists errors and time-outs together, the newest first", () => {
  const flows = (...times: number[]) => times.map((startTime) => ({ startTime })) as Parameters<typeof newestOf>[0];
  expect(newestOf(flows(9, 4, 1), flows(7, 5)).map(({ startTime }) => startTime)).toEqual([9, 7, 5, 4, 1]);
});
