// Numbers of a column whose unit stands in its head.

import { exact } from "./numbers";

/** Little is not nothing. */
const small = (value: number) => (value > 0 && value < 0.005 ? "<\u202f0.01" : value.toFixed(2));

export const digits = (value: number | null | undefined) =>
  value === null || value === undefined ? "–" : value < 9.95 ? small(value) : value < 99.5 ? value.toFixed(1) : exact(Math.round(value));

export const asPercent = (share: number) => (share === 0 ? "0" : share === 1 ? "100" : share < 0.0995 ? small(share * 100) : (share * 100).toFixed(1));
