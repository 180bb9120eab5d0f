import { fireEvent, render } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import type { Edge } from "../api/client";
import { EdgeShape } from "./EdgeShape";

describe("an arrow", () => {
  const shape = (callCount: number, moves = true) => (
    <svg><EdgeShape id="a" edge={{ from: "a", to: "b", callCount, rate: 1, errorRate: 0 } as Edge} route={{ points: [{ x: 0, y: 0 }, { x: 9, y: 0 }], turned: false, self: false }}
      words="" steps={{ some: 0.01, many: 0.05 }} state="" moves={moves} hasDots={false} onPick={() => {}} onHover={() => {}} /></svg>
  );
  const pulses = (container: HTMLElement) => container.querySelectorAll(".pulse").length;

  it("pulses once when calls arrive, however many", () => {
    const { container, rerender } = render(shape(5));
    expect(pulses(container)).toBe(0);
    rerender(shape(6));
    const pulse = container.querySelector(".pulse") as Element;
    rerender(shape(9));
    expect(container.querySelector(".pulse"), "the same, not begun anew").toBe(pulse);
    // jsdom knows the event by its old name only.
    fireEvent(pulse, new Event("webkitAnimationEnd", { bubbles: true }));
    expect(pulses(container)).toBe(0);
    rerender(shape(10));
    expect(pulses(container)).toBe(1);
  });

  it("is still while calls leave the window, and when nothing moves", () => {
    const { container, rerender } = render(shape(5));
    rerender(shape(4));
    expect(pulses(container)).toBe(0);
    rerender(shape(7, false));
    expect(pulses(container)).toBe(0);
  });
});
