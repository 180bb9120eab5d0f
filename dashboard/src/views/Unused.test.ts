import { expect, it } from "vitest";
import { parse } from "../url/filters";
import { unused } from "./Unused";

it("names set filters that can't be asked for", () => {
  const filters = parse(new URLSearchParams("cluster=eu&probes=true&service=auth"), "");
  expect(unused(filters, ["cluster", "namespace", "probes"])).toEqual(["cluster", "probes"]);
  expect(unused(filters, ["cluster"], ["version", "cluster"])).toEqual(["cluster", "version"]);
});
