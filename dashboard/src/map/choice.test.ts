import { expect, it } from "vitest";
import { inside } from "./choice";

it("a namespace's box is opened where it is; other nodes are no boxes", () => {
  const box = (namespace: string, cluster: string) => ({ node: null, from: null, to: null, namespace, cluster, group: null });
  expect([inside("namespace:team-7"), inside("namespace:eu-1//a%2Fb"), inside("eu-1/shop/web"), inside("cluster:eu-1")]).toEqual([box("team-7", ""), box("a/b", "eu-1"), null, null]);
});
