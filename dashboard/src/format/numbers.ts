// Numbers as people read them: two or three digits that matter, the unit behind a narrow no-break space.

export const NONE = "–";
const SPACE = "\u202f";
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const thousands = /(\.\d*?)0+$/;

/** < 0.01, 0.03, 1.2, 84, 1,240, 12.4k, 3.1M. */
export function number(value: number): string {
  const size = Math.abs(value);
  if (size === 0) return "0";
  // Little is not nothing.
  if (size < 0.005) return `${value < 0 ? "−" : ""}<${SPACE}0.01`;
  if (size < 0.095) return value.toFixed(2);
  if (Number.isInteger(value) && size < 10_000) return whole.format(value);
  if (size < 9.95) return value.toFixed(1);
  if (size < 9_999.5) return whole.format(value);
  return size < 999_500 ? `${short(value / 1e3)}k` : size < 999_500_000 ? `${short(value / 1e6)}M` : `${short(value / 1e9)}G`;
}

const short = (value: number) => value.toFixed(Math.abs(value) < 99.95 ? 1 : 0).replace(thousands, "$1").replace(/\.$/, "");

/** All digits, for those who compare. Sampling makes fractions of calls. */
export const exact = (value: number) => tenths.format(value);

export const rate = (perSecond: number) => `${number(perSecond)}/s`;

/** Milliseconds in the unit that suits them. */
export function latency(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return NONE;
  if (ms === 0) return `0${SPACE}ms`;
  if (ms < 0.9995) return `${Math.round(ms * 1000)}${SPACE}µs`;
  if (ms < 9.95) return `${ms.toFixed(1)}${SPACE}ms`;
  if (ms < 999.5) return `${Math.round(ms)}${SPACE}ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(ms < 9_995 ? 2 : 1)}${SPACE}s`;
  return ms < 3_600_000 ? `${number(ms / 60_000)}${SPACE}min` : `${number(ms / 3_600_000)}${SPACE}h`;
}

/** Microseconds, as durations of flows and spans are given. */
export const duration = (us: number) => latency(us / 1000);

export function percent(share: number | null | undefined): string {
  if (share === null || share === undefined) return NONE;
  if (share === 0) return `0${SPACE}%`;
  if (share < 0.001) return `<${SPACE}0.1${SPACE}%`;
  // 99.98 % of success is not all of it.
  if (share > 0.999 && share < 1) return `>${SPACE}99.9${SPACE}%`;
  const digits = share < 0.0995 || share > 0.9 ? 1 : 0;
  return `${(share * 100).toFixed(share === 1 ? 0 : digits)}${SPACE}%`;
}

/** Which of three steps of trouble a share of errors is. */
export function trouble(share: number, { some, many }: { some: number; many: number }): "" | "some" | "many" {
  return share >= many ? "many" : share >= some ? "some" : "";
}

/** +12 %, −3 %, or nothing where a change says nothing. */
export function change(now: number | null, before: number | null): string {
  if (now === null || before === null || before === 0) return "";
  const share = now / before - 1;
  if (Math.abs(share) < 0.005) return "±0 %";
  const sign = share > 0 ? "+" : "−";
  return Math.abs(share) > 9.995 ? `×${number(now / before)}` : `${sign}${Math.round(Math.abs(share) * 100)} %`;
}
