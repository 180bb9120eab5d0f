import { describe, expect, it } from "vitest";
import { filled } from "./settings";

describe("links to other tools", () => {
  it("fill in what they name, as parts of an address", () =>
    expect(filled("https://logs.example.com/?q={service}&from={from}&x={nothing}", { service: "a b&c", from: "5" })).toBe("https://logs.example.com/?q=a%20b%26c&from=5&x="));
  it("are web addresses, or none", () => {
    for (const bad of ["", "javascript:alert(1)", "/relative", "data:text/html,x"]) expect(filled(bad, {})).toBeNull();
  });
});
