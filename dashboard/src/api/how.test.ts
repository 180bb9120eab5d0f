import { expect, it } from "vitest";
import { address, curl, curlPost } from "./how";

it("leaves out what isn't asked, and keeps names apart from the address", () =>
  expect(address("/api/v1/graph", { service: "a&b=c", cluster: undefined, probes: true })).toBe(`${location.origin}/api/v1/graph?service=a%26b%3Dc&probes=true`));

it("quotes names so that a shell takes them for text", () => {
  expect(curl("http://h/a'; rm -rf ~ '")).toBe(String.raw`curl 'http://h/a'\''; rm -rf ~ '\'''`);
  expect(curlPost("http://h/d", { operation: "it's $(id)" })).toBe(String.raw`curl 'http://h/d' -H 'content-type: application/json' -d '{"operation":"it'\''s $(id)"}'`);
});
