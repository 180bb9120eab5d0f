import { expect, it } from "vitest";
import type { Node } from "../api/client";
import { versionOf } from "./NodePanel";

it("knows one version of a service by its id", () => {
  const node = (id: string, name: string, version: string) => ({ id, service: { name, version } }) as Node;
  expect(versionOf(node("shop/auth@2", "auth", "2"))).toBe("2");
  expect(versionOf(node("shop/auth", "auth", "2"))).toBe("");
  expect(versionOf(node("shop/auth%402", "auth@2", ""))).toBe("");
});
