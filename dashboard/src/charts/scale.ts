// Axes whose marks are round numbers.

/** The least round number that is not below the value: 1, 2, 2.5 or 5 times a power of ten. */
export function roundUp(value: number): number {
  if (value <= 0 || !Number.isFinite(value)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 2.5, 5, 10].find((step) => step * power >= value * (1 - 1e-9)) ?? 10) * power;
}

/** Indexes of times that stand a round distance apart. */
export function timeMarks(times: number[], most: number): number[] {
  if (times.length < 2) return times.length === 1 ? [0] : [];
  const every = Math.max(1, Math.ceil(times.length / Math.max(1, most)));
  return times.flatMap((_, index) => (index % every === Math.floor(every / 2) ? [index] : []));
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
