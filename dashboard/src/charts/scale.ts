// Axes whose marks are round numbers.

import { zoneShift } from "../format/time";

/** The least round number that is not below the value: 1, 2, 2.5 or 5 times a power of ten. */
export function roundUp(value: number): number {
  if (value <= 0 || !Number.isFinite(value)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 2.5, 5, 10].find((step) => step * power >= value * (1 - 1e-9)) ?? 10) * power;
}

const ROUND_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 345_600, 604_800];

/** Indexes of times (µs) that begin a round step on the reader's clock: 14:05, 14:10, 14:15. */
export function timeMarks(times: number[], most: number): number[] {
  const [first = 0, last = 0] = [times[0], times.at(-1)];
  const every = (ROUND_S.find((step) => (last - first) / 1e6 / step <= Math.max(1, most)) ?? 604_800) * 1e6;
  const stepOf = (time: number) => Math.floor((time - zoneShift(time)) / every);
  return times.flatMap((time, index) => (index > 0 && stepOf(time) !== stepOf(times[index - 1] ?? 0) ? [index] : []));
}

/** The runs of values that are there: a line is not drawn over what was not measured. */
export function runs(values: (number | null)[]): [number, number][][] {
  const found: [number, number][][] = [];
  let run: [number, number][] = [];
  values.forEach((value, index) => {
    if (value !== null) run.push([index, value]);
    if ((value === null || index === values.length - 1) && run.length > 0) {
      found.push(run);
      run = [];
    }
  });
  return found;
}
