import { describe, expect, it } from "vitest";
import type { Edge, Node } from "../api/client";
import { read } from "./expression";

const node = (of: { name?: string; kind?: string; errors?: number; rate?: number; p95?: number | null; namespace?: string; versions?: string[] }) => ({
  id: `x:${of.name ?? "auth"}`, kind: of.kind ?? "service", status: "healthy", service: { name: of.name ?? "auth", namespace: of.namespace ?? "shop", cluster: "", versions: of.versions ?? [] },
  metrics: { errorRate: of.errors ?? 0, rate: of.rate ?? 1, p95Latency: of.p95 === undefined ? 80 : of.p95 },
}) as unknown as Node;
const edge = (of: { errors?: number; retries?: number }) => ({ errorRate: of.errors ?? 0, retryCount: of.retries ?? 0 }) as unknown as Edge;

const ofNode = (text: string, of: Parameters<typeof node>[0]) => read(text).expression?.node(node(of));
const ofEdge = (text: string, of: Parameters<typeof edge>[0]) => read(text).expression?.edge(edge(of));

describe("an expression", () => {
  it.each([
    ["errors > 1%", { errors: 0.011 }, true], ["errors>1", { errors: 0.01 }, false], ["errors >= 57 %", { errors: 0.57 }, true], ["errors >= 29", { errors: 0.29 }, true],
    ["rate < 0.1", { rate: 0.05 }, true], ["rate <= .05/s", { rate: 0.05 }, true], ["rate != 1", { rate: 1 }, false],
    ["p95 > 200ms", { p95: 201 }, true], ["p95 > 0.2s", { p95: 199 }, false], ["p95 < 500us", { p95: 0.4 }, true], ["p95 > 200", { p95: 300 }, true],
    ["kind = database", { kind: "database" }, true], ["KIND != Database", { kind: "service" }, true],
    ["name ~ CART", { name: "shopping-cart" }, true], ['name = "my service"', { name: "My service" }, true], ["name !~ cart", { name: "cart" }, false],
    ['namespace = ""', { namespace: "" }, true], ["version = 2", { versions: ["1", "2"] }, true],
    ["sho", {}, true], ["my serv", { name: "my service" }, true], ['"and"', { name: "band" }, true],
  ])("%s", (text, of, verdict) => expect(ofNode(text, of)).toBe(verdict));

  it("is joined: and before or", () => {
    const text = "name = a or kind = database and errors > 1%";
    expect([ofNode(text, { name: "a" }), ofNode(text, { kind: "database" }), ofNode(text, { kind: "database", errors: 0.5 }), ofNode(`not ${text}`, { name: "b" })]).toEqual([true, false, true, true]);
  });

  it("says nothing of what it doesn't apply to, whichever way it asks", () => {
    expect([ofEdge("kind = database", {}), ofEdge("not kind = database", {}), ofEdge("kind != database", {}), ofNode("retries > 0", {}), ofNode("not p95 < 5", { p95: null })]).toEqual([undefined, undefined, undefined, undefined, undefined]);
    expect([ofEdge("kind = database or retries > 0", { retries: 1 }), ofEdge("kind = database and errors > 1", {}), ofEdge("kind = database and errors > 1", { errors: 1 })]).toEqual([true, false, undefined]);
  });

  it("may be none", () => expect([read(""), read("  ")]).toEqual([{ expression: null, problem: "" }, { expression: null, problem: "" }]));

  it.each([
    ["errors >", /“errors >” needs something/], ["> 1%", /before “>”/], ["latency > 1", /“latency” is not known.*errors, rate/], ["constructor = 1", /is not known/],
    ["errors > many", /a number \(%\), not with “many”/], ["errors > 1ms", /not with “1ms”/], ["retries > x", /a number, not/], ["p95 ~ 3", /“p95” is compared by >/], ["name > a", /“name” is compared by =/],
    ["kind = databse", /“kind” is one of .*database/], ["errors > 1 and", /missing beside/], ["not", /missing beside/], ["cart errors > 1", /before “errors”/], ["errors > 1 rate < 2", /before “rate”/],
  ])("%s can't be read, and says why", (text, why) => {
    const { expression, problem } = read(text);
    expect(expression).toBeNull();
    expect(problem).toMatch(why);
  });
});
