import { describe, expect, it } from "vitest";
import type { Edge, Node } from "../api/client";
import { read, type Expression } from "./expression";
import { found, without } from "./seek";

const node = (id: string, kind: string, errorRate = 0) => ({ id, kind, service: { name: id, namespace: "" }, metrics: { errorRate } }) as unknown as Node;
const edge = (from: string, to: string, errorRate = 0) => ({ from, to, errorRate }) as unknown as Edge;
const nodes = new Map([node("web", "client"), node("auth", "service"), node("mail", "service", 0.2), node("db", "database")].map((each) => [each.id, each]));
const edges = new Map([edge("web", "auth"), edge("auth", "db"), edge("auth", "mail", 0.2), edge("mail", "db", 0.001)].map((each) => [`${each.from}>${each.to}`, each]));
const graph = { nodes, edges };
const asked = (text: string) => read(text).expression as Expression;

describe("what is sought", () => {
  it("is boxes and calls, with the ends of these", () => {
    const { nodes: boxes, edges: calls, near } = found(graph, asked("errors > 1%"));
    expect([[...boxes], [...calls], [...near]]).toEqual([["mail"], ["auth>mail"], ["auth", "mail"]]);
  });
  it("is calls between boxes too", () => expect([...found(graph, asked("kind = service")).near]).toEqual(["auth>mail"]));
});

describe("what is hidden", () => {
  const left = (text: string) => {
    const { nodes: boxes, edges: calls } = without(graph, asked(text));
    return [[...boxes.keys()], [...calls.keys()]];
  };
  it("takes the calls of its boxes along, and nothing else", () => expect(left("kind = database")).toEqual([["web", "auth", "mail"], ["web>auth", "auth>mail"]]));
  it("leaves the ends of calls that it doesn't hold for", () => expect(left("errors < 1%")).toEqual([["auth", "mail"], ["auth>mail"]]));
  it("may be calls alone", () => expect(left("errors > 10%")).toEqual([["web", "auth", "mail", "db"], ["web>auth", "auth>db", "mail>db"]]));
});
