import { expect, it } from "vitest";
import type { Edge, Node } from "../../api/client";
import { pictureOf } from "./picture";
import { place } from "./place";

it("is a picture of all that the overview shows, and names can't leave their place", () => {
  const node = (id: string, status: string) => ({ id, kind: "service", status, service: { name: id } }) as Node;
  const nodes = new Map([node("web", "healthy"), node("auth", "degraded"), node('</text><a x="', "down"), node("hidden", "healthy")].map((each) => [each.id, each]));
  const edges = new Map([["a", { from: "web", to: "auth", rate: 1, errorRate: 0.5 } as Edge]]);
  const layout = place([...nodes.keys()].map((id) => ({ id, isClient: id === "web", group: "" })), [{ key: "a", from: "web", to: "auth" }]);
  nodes.delete("hidden");
  const { text, width } = pictureOf({ nodes, edges, layout, steps: { some: 0.01, many: 0.05 }, near: new Set(["web"]), present: nodes, found: new Set(["web"]), picked: "" }, (variable) => variable, 'Some "Sans"');
  const drawn = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
  expect(drawn.getAttribute("width")).toBe(String(width));
  const boxes = [...drawn.querySelectorAll(":scope > g")].filter((each) => each.querySelector("text"));
  expect(boxes.map((each) => [each.textContent, each.getAttribute("opacity"), each.querySelector("rect")?.getAttribute("stroke"), each.querySelectorAll("rect").length]).sort()).toEqual([
    ['</text><a x="', "0.2", "--red", 2], ["auth", "0.2", "--amber", 1], ["web", "1", "--accent", 1],
  ]);
  expect([...drawn.querySelectorAll("path")].map((each) => each.getAttribute("stroke"))).toEqual(["--red"]);
});
