// The calls of a flow as people would tell them.

import type { Schemas } from "../../api/client";

export type Call = Schemas["Call"];

export interface Sentence {
  call: Call;
  /** The call it led to that took longest; null where it called nobody. */
  longest: Call | null;
  /** µs in which none of the calls it led to ran; null where it called nobody. */
  own: number | null;
}

export function story(sequence: Call[]): Sentence[] {
  return sequence.map((call, index) => {
    const led = ledTo(sequence, index);
    const longest = led.reduce<Call | null>((most, each) => (most === null || each.duration > most.duration ? each : most), null);
    return { call, longest, own: led.length === 0 ? null : Math.max(0, call.duration - covered(led, call)) };
  });
}

function ledTo(sequence: Call[], index: number): Call[] {
  const depth = sequence[index]?.depth ?? 0;
  const found: Call[] = [];
  for (const call of sequence.slice(index + 1)) {
    if (call.depth <= depth) break;
    if (call.depth === depth + 1) found.push(call);
  }
  return found;
}

/** How much of the call its calls cover: what runs at the same time counts once. */
function covered(led: Call[], { startTime, duration }: Call): number {
  let [sum, until] = [0, startTime];
  for (const call of [...led].sort((a, b) => a.startTime - b.startTime)) {
    const [from, to] = [Math.max(call.startTime, until), Math.min(call.startTime + call.duration, startTime + duration)];
    if (to > from) sum += to - from;
    until = Math.max(until, to);
  }
  return sum;
}
