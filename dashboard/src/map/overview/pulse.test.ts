import { expect, it } from "vitest";
import type { Edge } from "../../api/client";
import { grown } from "./pulse";

it("knows where calls have arrived, and of too many those with most", () => {
  const edges = (counts: Record<string, number>) => new Map(Object.entries(counts).map(([to, callCount]) => [to, { to, callCount } as Edge]));
  const gained = (most?: number) => grown(edges({ same: 4, more: 4, less: 4 }), edges({ same: 4, more: 6, less: 1, joined: 9 }), most).map(({ to }) => to);
  expect([gained(), gained(1)]).toEqual([["joined", "more"], ["joined"]]);
});
