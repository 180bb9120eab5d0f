import { expect, it } from "vitest";
import { fit, holds, showing } from "./useViewport";

const room = { width: 1000, height: 500 };

it("shows all of a map in the middle, unless it couldn't be read", () => {
  expect(fit({ width: 500, height: 500 }, room)).toEqual({ scale: 1, x: 228, y: 0 });
  expect(fit({ width: 9000, height: 500 }, room).scale).toBe(0.6);
  expect(fit({ width: 9000, height: 500 }, { width: 370, height: 500 }).scale).toBe(0.75);
});

it("has room for nodes that join where there is some", () => {
  const view = fit({ width: 500, height: 400 }, room);
  expect([holds(view, { width: 620, height: 400 }, room), holds(view, { width: 500, height: 700 }, room)]).toEqual([true, false]);
});

it("moves no more than what is selected needs", () => {
  const view = { scale: 0.5, x: 0, y: 0 };
  const box = (x: number) => ({ x, y: 200, width: 172, height: 50 });
  expect(showing(view, box(400), room)).toEqual(view);
  expect(showing(view, box(2400), room).x).toBe(1000 - 28 - (2400 + 172) * 0.5);
  expect(showing({ ...view, x: -600 }, box(400), room).x).toBe(28 - 400 * 0.5);
});
