import { describe, expect, it } from "vitest";
import { by, type ErrorGroup } from "./by";

const group = (service: string, message: string, count: number, more: Partial<ErrorGroup> = {}) =>
  ({ operation: "login", environment: "qa", service, namespace: "", peer: "", exceptionType: "", message, count, firstSeen: count, lastSeen: count, trend: [count, 0], traceIds: [message], ...more });

describe("errors put together", () => {
  const groups = [group("auth", "no", 3), group("auth", "late", 2), group("web", "no", 7, { peer: "auth" })];
  it("keep their messages apart", () => expect(by(groups, "message").map(({ count }) => count)).toEqual([3, 2, 7]));
  it("add up by service, and say nothing of what differs", () =>
    expect(by(groups, "service")[0]).toMatchObject({ service: "auth", message: "", operation: "", count: 5, firstSeen: 2, lastSeen: 3, trend: [5, 0], traceIds: ["no", "late"] }));
  it("by whom was called leaves out those that called nobody", () => expect(by(groups, "peer")).toHaveLength(1));
});
