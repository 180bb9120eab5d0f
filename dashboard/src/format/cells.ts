// Numbers of a column whose unit stands in its head.

import { exact } from "./numbers";

export const digits = (value: number | null | undefined) =>
  value === null || value === undefined ? "–" : value < 9.95 ? value.toFixed(2) : value < 99.5 ? value.toFixed(1) : exact(Math.round(value));

export const asPercent = (share: number) => (share === 0 ? "0" : (share * 100).toFixed(share < 0.0995 ? 2 : 1));
