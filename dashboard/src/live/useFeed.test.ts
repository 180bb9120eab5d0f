import { renderHook } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import { useHeld } from "./useFeed";

describe("what is paused", () => {
  const held = () => {
    const { result, rerender } = renderHook(({ value, paused, of }) => useHeld(value, paused, of), { initialProps: { value: "a", paused: true, of: "login" } });
    return (value: string, paused: boolean, of: string) => {
      rerender({ value, paused, of });
      return [result.current.shown, result.current.waiting];
    };
  };

  it("stays, and what it lets pass is counted", () => {
    const then = held();
    expect([then("b", true, "login"), then("b", true, "login"), then("c", true, "login"), then("c", false, "login")]).toEqual([["a", 1], ["a", 1], ["a", 2], ["c", 0]]);
  });

  it("is let go when something else is looked at", () => {
    const then = held();
    expect([then("b", true, "checkout"), then("c", true, "checkout")]).toEqual([["b", 0], ["b", 1]]);
  });
});
