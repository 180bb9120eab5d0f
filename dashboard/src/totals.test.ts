import { expect, it } from "vitest";
import { question } from "./totals";
import { parse } from "./url/filters";

it("the headline comes from a call without filters that it isn't split by", () => {
  const asked = (query: string) => question(parse(new URLSearchParams(query), "")).replace(location.origin, "");
  expect(asked("service=billing&environment=production")).toBe("/api/v1/operations?environment=production&window=5m");
  expect(asked("operation=log%20in&probes=true&window=1h")).toBe("/api/v1/operations/log%20in/stats?window=1h");
});
