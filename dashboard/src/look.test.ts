import { describe, expect, it } from "vitest";
import type { Schemas } from "./api/client";
import { busiestEnvironment } from "./look";

describe("the environment looked at first", () => {
  const busiest = (...flows: [environment: string, count: number, probe?: boolean][]) =>
    busiestEnvironment({ operations: flows.map(([environment, count, probe = false]) => ({ environment, count, probe })) } as unknown as Schemas["OperationsAnswer"]);

  it("is the one with the most flows, without checks", () => expect(busiest(["qa", 5], ["production", 4], ["production", 4], ["idle", 99, true])).toBe("production"));
  it("is all of them where flows name none, and open while there are no flows", () => expect([busiest(["", 5]), busiest(), busiestEnvironment(undefined)]).toEqual(["*", null, null]));
});
