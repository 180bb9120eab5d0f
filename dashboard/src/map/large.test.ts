import { renderHook } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import { useIsLarge } from "./large";

describe("a large map", () => {
  it("stays one until something else is looked at", () => {
    const { result, rerender } = renderHook(({ nodes, of }) => useIsLarge(nodes, of), { initialProps: { nodes: 150, of: "shop" } });
    const then = (nodes: number, of: string) => {
      rerender({ nodes, of });
      return result.current;
    };
    expect(renderHook(() => useIsLarge(40, "shop", 1_600)).result.current).toBe(true);
    expect([result.current, then(151, "shop"), then(149, "shop"), then(149, "bank")]).toEqual([false, true, true, false]);
  });
});
