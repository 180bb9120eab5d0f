import { describe, expect, it } from "vitest";
import type { Edge, Node } from "../api/client";
import { EMPTY, applied, edgeKey, type GraphFrame } from "./state";

const node = (id: string) => ({ id }) as Node;
const edge = (from: string, to: string, callCount = 1) => ({ from, to, callCount }) as unknown as Edge;
const frame = (part: Partial<GraphFrame>) => ({ nodes: [], edges: [], sequences: { 0: 1 }, ...part }) as unknown as GraphFrame;

describe("the live graph", () => {
  const first = applied(EMPTY, frame({ nodes: [node("a"), node("b")], edges: [edge("a", "b")] }), true);

  it("takes new values and leaves the rest", () => {
    const next = applied(first, frame({ edges: [edge("a", "b", 7)], nodes: [node("c")], sequences: { 0: 2 } }), false);
    expect([...next.nodes.keys()]).toEqual(["a", "b", "c"]);
    expect(next.edges.get(edgeKey({ from: "a", to: "b" }))?.callCount).toBe(7);
    expect(next.sequences).toEqual({ 0: 2 });
    expect(first.nodes.size, "what was shown before is not changed").toBe(2);
  });

  it("loses what is said to be gone", () => {
    const next = applied(first, frame({ removedNodes: ["b"], removedEdges: [{ from: "a", to: "b" }] }), false);
    expect([next.nodes.size, next.edges.size]).toEqual([1, 0]);
  });

  it("is the same after a frame that comes twice", () => {
    const again = frame({ edges: [edge("a", "b", 7)] });
    expect(applied(applied(first, again, false), again, false)).toEqual(applied(first, again, false));
  });

  it("is replaced by a snapshot", () => expect([...applied(first, frame({ nodes: [node("z")] }), true).nodes.keys()]).toEqual(["z"]));

  it("tells edges apart whose names run together", () =>
    expect(edgeKey({ from: "a,b", to: "c" })).not.toBe(edgeKey({ from: "a", to: "b,c" })));
});
