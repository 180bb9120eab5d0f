import { expect, it } from "vitest";
import type { Node } from "../api/client";
import { NOWHERE } from "./layout/layOut";
import { remembered } from "./useLayout";

it("a map keeps what has gone quiet, and nothing of what was looked at before", () => {
  const nodes = (...ids: string[]) => new Map(ids.map((id) => [id, { id, kind: "service" } as Node]));
  const login = remembered({ of: "", structure: "", nodes: new Map(), edges: new Map(), layout: NOWHERE }, nodes("auth", "web"), new Map(), "login");
  expect([...remembered(login, nodes("auth"), new Map(), "login").nodes.keys()]).toEqual(["auth", "web"]);
  expect([...remembered(login, nodes("cart"), new Map(), "checkout").layout.places.keys()]).toEqual(["cart"]);
});
