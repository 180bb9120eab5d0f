import { describe, expect, it } from "vitest";
import type { Edge, Node } from "../api/client";
import { EMPTY, edgeKey, type GraphState, type Totals } from "../live/state";
import { around, part } from "./shown";

const edge = (from: string, to: string, callCount = 1000, errorCount = 0) =>
  ({ from, to, callCount, errorCount, rejected: 0, timeouts: 0 }) as unknown as Edge;
const node = (id: string) => ({ id, service: { name: id, namespace: "shop", cluster: "" } }) as unknown as Node;

function graph(edges: Edge[], nodes = edges.flatMap(({ from, to }) => [node(from), node(to)])): GraphState {
  return { ...EMPTY, nodes: new Map(nodes.map((each) => [each.id, each])), edges: new Map(edges.map((each) => [edgeKey(each), each])) };
}
const all = { focus: "", hops: 1, only: "" as const, withRare: false };
const ids = (of: { nodes: Map<string, unknown> }) => [...of.nodes.keys()].sort();

describe("the part of the graph on the map", () => {
  const chain = [edge("web", "a"), edge("a", "b"), edge("b", "c"), edge("x", "b"), edge("a", "z")];

  it("goes up and down from the focus, never to siblings", () => {
    expect([...around("b", chain, 1)].sort()).toEqual(["a", "b", "c", "x"]);
    expect([...around("b", chain, 2)].sort()).toEqual(["a", "b", "c", "web", "x"]);
    expect(ids(part(graph(chain), { ...all, focus: "c" }))).toEqual(["b", "c"]);
  });

  it("ends at cycles", () => expect([...around("a", [edge("a", "b"), edge("b", "a"), edge("a", "a")], 10)].sort()).toEqual(["a", "b"]));

  it("leaves out rare calls that go well, and says how many", () => {
    const totals = { flowCount: 1000 } as Totals;
    const some = { ...graph([edge("web", "a"), edge("a", "rare", 3), edge("a", "failing", 3, 1)]), totals };
    expect(part(some, all).rare).toBe(1);
    expect(ids(part(some, all))).toEqual(["a", "failing", "web"]);
    expect(ids(part(some, { ...all, withRare: true }))).toEqual(["a", "failing", "rare", "web"]);
  });

  it("calls nothing rare where it isn't known how many flows there were", () => {
    expect(part(graph([edge("orders", "database", 150_000), edge("gateway", "orders", 1_000)]), all).rare).toBe(0);
  });

  it("keeps services that call nobody, but not around a focus", () => {
    const some = graph([edge("web", "a")], [node("web"), node("a"), node("alone")]);
    expect(ids(part(some, all))).toEqual(["a", "alone", "web"]);
    expect(ids(part(some, { ...all, focus: "a" }))).toEqual(["a", "web"]);
  });

  it("keeps what touches nodes in trouble", () => {
    const nodes = [node("web"), { ...node("a"), status: "degraded" }, { ...node("b"), status: "down" }, node("c"), { ...node("alone"), status: "down" }, node("well")] as Node[];
    const some = graph([edge("web", "a"), edge("a", "b"), edge("web", "c"), edge("c", "web")], nodes);
    expect(ids(part(some, { ...all, only: "degraded" }))).toEqual(["a", "alone", "b", "web"]);
    expect(ids(part(some, { ...all, only: "down" }))).toEqual(["a", "alone", "b"]);
  });
});
