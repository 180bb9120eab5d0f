import { describe, expect, it } from "vitest";
import type { Edge, Node } from "../api/client";
import { csv, mermaid, sayable } from "./exports";

const edge = (from: string, to: string) => ({ from, to, callCount: 3, rate: 1.5, errorCount: 0, errorRate: 0, p95Latency: 84 }) as unknown as Edge;
const map = (...edges: Edge[]) => new Map(edges.map((each, index) => [String(index), each]));

describe("exports", () => {
  it("write rows that a spreadsheet reads, and runs nothing of", () => {
    const lines = csv(map(edge("=HYPERLINK(1)", 'a "b", c'))).split("\r\n");
    expect(lines[0]).toContain("from,to,callCount,rate");
    expect(lines[1]).toMatch(/^'=HYPERLINK\(1\),"a ""b"", c",3,1\.5,0,0,/);
  });

  it("write pictures without what XML has no form for", () =>
    expect(sayable("a\u0000b\u001bc\ufffed\ud800e\tf\u{1f680}")).toBe("a\ufffdb\ufffdc\ufffdd\ufffde\tf\u{1f680}"));

  it("write Mermaid whose text can't leave its quotes", () => {
    const nodes = new Map([["x", { id: "x", kind: "service", service: { name: 'we"b<', namespace: "", cluster: "" } } as unknown as Node]]);
    const text = mermaid(nodes, map(edge("x", "shop/auth")));
    expect(text).toContain('n0["we#34;b#60;"]');
    expect(text).toContain('n1["auth"]');
    expect(text).toMatch(/n0 -->\|"1\.5\/s, 0.%, p95 84.ms"\| n1/);
  });
});
