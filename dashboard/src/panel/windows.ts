// The window before the one that is looked at, of the same length.

import { seconds, timeQuery, type Time, type TimeQuery } from "../url/filters";

const ALIGN_S = 10;
const STEPS = 60;

/** Its ends move in steps of ten seconds, or of a sixtieth of it, so that it is the same question for a while. */
export function before(time: Time, nowMs: number): TimeQuery {
  if (time.kind === "between") return timeQuery({ kind: "between", from: 2 * time.from - time.to, to: time.from });
  const length = Math.max(ALIGN_S, seconds(time));
  const step = Math.max(ALIGN_S, Math.round(length / STEPS));
  const end = Math.floor(nowMs / 1000 / step) * step - length;
  return timeQuery({ kind: "between", from: (end - length) * 1e6, to: end * 1e6 });
}
