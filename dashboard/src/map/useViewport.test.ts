import { expect, it } from "vitest";
import { fit, holds } from "./useViewport";

const room = { width: 1000, height: 500 };

it("shows all of a map in the middle, unless it couldn't be read", () => {
  expect(fit({ width: 500, height: 500 }, room)).toEqual({ scale: 1, x: 250, y: 0 });
  expect(fit({ width: 9000, height: 500 }, room).scale).toBe(0.45);
});

it("has room for nodes that join where there is some", () => {
  const view = fit({ width: 500, height: 400 }, room);
  expect([holds(view, { width: 620, height: 400 }, room), holds(view, { width: 500, height: 700 }, room)]).toEqual([true, false]);
});
