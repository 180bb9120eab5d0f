import { describe, expect, it } from "vitest";
import { HEIGHT, WIDTH, extended, place, type BigNode } from "./place";

const many = (count: number): BigNode[] => Array.from({ length: count }, (_, index) => ({ id: `s${index}`, isClient: index < 5, group: `team-${index % 40}` }));
const calls = (nodes: BigNode[], count: number) => Array.from({ length: count }, (_, index) => {
  const from = (index * 7919) % nodes.length;
  const to = Math.min(nodes.length - 1, from + 1 + ((index * 104_729) % 200));
  return { key: String(index), from: `s${from}`, to: `s${to}` };
});

describe("places of an overview", () => {
  const nodes = many(1_000);
  const edges = calls(nodes, 5_000);

  it("are worked out for 1,000 services and 5,000 calls while nobody notices", () => {
    const began = performance.now();
    expect(place(nodes, edges).places.size).toBe(1_000);
    expect(performance.now() - began).toBeLessThan(1_000);
  });

  it("are in few columns, however long the longest chain, and none is lost in a circle", () => {
    const chain = Array.from({ length: 300 }, (_, index): BigNode => ({ id: `c${String(index).padStart(3, "0")}`, isClient: index === 0, group: "x" }));
    const pairs = chain.slice(1).flatMap(({ id }, index) => [{ key: `a${id}`, from: chain[0]?.id ?? "", to: id }, { key: `b${id}`, from: chain[index]?.id ?? "", to: id }]);
    const circle: BigNode[] = ["p", "q"].map((id) => ({ id, isClient: false, group: "y" }));
    const { places } = place([...chain, ...circle], [...pairs, { key: "pq", from: "p", to: "q" }, { key: "qp", from: "q", to: "p" }]);
    expect(Math.max(...[...places.values()].map(({ layer }) => layer))).toBe(1);
    expect(places.size).toBe(302);
  });

  it("do not overlap", () => {
    const places = [...place(nodes, edges).places.values()];
    const taken = new Set(places.map(({ x, y }) => `${Math.round(x / WIDTH)} ${Math.round(y)} ${x}`));
    expect(taken.size).toBe(1_000);
    const column = places.filter(({ x }) => x === places[0]?.x).map(({ y }) => y).sort((a, b) => a - b);
    column.forEach((y, index) => index > 0 && expect(y - (column[index - 1] ?? 0)).toBeGreaterThanOrEqual(HEIGHT));
  });

  it("stay when others join", () => {
    const before = place(nodes, edges);
    const after = extended(before, [...nodes, { id: "new", isClient: false, group: "x" }], [...edges, { key: "new", from: "s3", to: "new" }]);
    for (const [id, was] of before.places) expect(after.places.get(id)).toEqual(was);
    expect(after.places.has("new")).toBe(true);
  });
});
