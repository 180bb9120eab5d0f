import { expect, it } from "vitest";
import { asPercent, digits } from "./cells";

it("never shows little as nothing", () => {
  expect([0, 0.004, 0.006, 12.34].map(digits)).toEqual(["0.00", "<\u202f0.01", "0.01", "12.3"]);
  expect([0, 0.00004, 0.0123, 0.5].map(asPercent)).toEqual(["0", "<\u202f0.01", "1.23", "50.0"]);
});
