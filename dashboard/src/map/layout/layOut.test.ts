import { describe, expect, it } from "vitest";
import { extend, free } from "./extend";
import { layOut } from "./layOut";
import { arrow, path } from "./routes";
import { NODE_HEIGHT, type LaidEdge, type LaidNode, type Layout } from "./shapes";

const nodes = (...ids: string[]): LaidNode[] => ids.map((id) => ({ id, isClient: id === "web" }));
const edges = (...pairs: string[]): LaidEdge[] => pairs.map((pair) => {
  const [from = "", to = ""] = pair.split(">");
  return { key: pair, from, to };
});
const layers = ({ places }: Layout) => Object.fromEntries([...places].map(([id, { layer }]) => [id, layer]));

function noOverlaps({ places }: Layout) {
  for (const [a, one] of places) {
    for (const [b, other] of places) {
      if (a !== b && one.layer === other.layer) expect(Math.abs(one.y - other.y), `${a} and ${b}`).toBeGreaterThanOrEqual(NODE_HEIGHT);
    }
  }
}

describe("layOut", () => {
  const shop = { nodes: nodes("web", "gateway", "auth", "users", "db"), edges: edges("web>gateway", "gateway>auth", "gateway>users", "auth>users", "users>db") };

  it("puts callees to the right of all their callers", () => {
    expect(layers(layOut(shop.nodes, shop.edges))).toEqual({ web: 0, gateway: 1, auth: 2, users: 3, db: 4 });
  });

  it("does not depend on the order in which things come", () => {
    expect(layOut([...shop.nodes].reverse(), [...shop.edges].reverse())).toEqual(layOut(shop.nodes, shop.edges));
  });

  it("survives cycles, loops and ends that are missing, and draws the way back from right to left", () => {
    const laid = layOut(nodes("a", "b"), edges("a>b", "b>a", "b>b", "a>gone"));
    expect([...laid.routes.keys()].sort()).toEqual(["a>b", "b>a", "b>b"]);
    expect(laid.routes.get("b>a")?.turned).toBe(true);
    expect(path(laid.routes.get("b>b") ?? { points: [], turned: false, self: true })).toContain("C");
    expect(arrow(laid.routes.get("b>a") ?? { points: [], turned: true, self: false })).toContain("l9");
  });

  it("keeps nodes of a column apart", () => {
    const many = nodes("web", ...Array.from({ length: 60 }, (_, index) => `s${index}`));
    noOverlaps(layOut(many, many.slice(1).map(({ id }, index) => ({ key: id, from: index % 3 === 0 ? "web" : `s${Math.floor(index / 3)}`, to: id }))));
  });

  it("goes through a chain of two thousand calls", () => {
    const long = Array.from({ length: 2_000 }, (_, index) => `n${String(index).padStart(4, "0")}`);
    const laid = layOut(nodes(...long), long.slice(1).map((to, index) => ({ key: to, from: long[index] ?? "", to })));
    expect(laid.places.get("n1999")?.layer).toBe(1999);
  });
});

describe("extend", () => {
  const before = layOut(nodes("web", "gateway", "auth", "users"), edges("web>gateway", "gateway>auth", "gateway>users"));

  it("moves nothing that is there, whatever joins", () => {
    const all = nodes("web", "gateway", "auth", "users", "cache", "mail");
    const after = extend(before, all, edges("web>gateway", "gateway>auth", "gateway>users", "users>cache", "gateway>mail", "web>cache"));
    for (const [id, place] of before.places) expect(after.places.get(id)).toEqual(place);
    expect(layers(after)).toMatchObject({ cache: 3, mail: 2 });
    noOverlaps(after);
    expect(after.routes.has("web>cache")).toBe(true);
  });

  it("leaves out what is gone", () => {
    const after = extend(before, nodes("web", "gateway"), edges("web>gateway"));
    expect([[...after.places.keys()], [...after.routes.keys()]]).toEqual([["web", "gateway"], ["web>gateway"]]);
  });

  it("begins anew when a map was only beginning", () => {
    const all = nodes("web", "a", "b", "c", "d");
    const pairs = edges("web>a", "a>b", "b>c", "c>d");
    expect(extend(layOut(nodes("web"), []), all, pairs)).toEqual(layOut(all, pairs));
  });

  it("finds the nearest free height", () => {
    expect(free(100, [], 80)).toBe(100);
    expect(free(100, [100], 80)).toBe(180);
    expect(free(200, [200, 280], 80)).toBe(120);
  });
});
