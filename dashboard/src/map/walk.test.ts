import { describe, expect, it } from "vitest";
import type { Edge } from "../api/client";
import { layOut } from "./layout/layOut";
import { step } from "./walk";

const ids = ["web", "gateway", "auth", "users", "db"];
const pairs: [string, string][] = [["web", "gateway"], ["gateway", "auth"], ["gateway", "users"], ["users", "db"]];
const layout = layOut(ids.map((id) => ({ id, isClient: id === "web" })), pairs.map(([from, to]) => ({ key: `${from}>${to}`, from, to })));
const edges = new Map(pairs.map(([from, to]) => [`${from}>${to}`, { from, to } as Edge]));
const go = (key: string, id: string, hidden?: string) => step(key, id, { nodes: new Map(ids.filter((each) => each !== hidden).map((each) => [each, null])), edges, layout });

describe("arrow keys on the map", () => {
  it("follow calls to the right and back", () => {
    expect(go("ArrowRight", "web")).toBe("gateway");
    expect(go("ArrowLeft", "db")).toBe("users");
    expect(go("ArrowLeft", "web")).toBeUndefined();
  });
  it("move within a column up and down", () => {
    const [upper, lower] = (layout.places.get("auth")?.y ?? 0) < (layout.places.get("users")?.y ?? 0) ? ["auth", "users"] : ["users", "auth"];
    expect([go("ArrowDown", upper), go("ArrowUp", lower), go("ArrowUp", upper)]).toEqual([lower, upper, undefined]);
    expect(go("ArrowDown", upper, lower)).toBeUndefined();
  });
  it("leave other keys alone", () => expect(go("a", "web")).toBeUndefined());
});
