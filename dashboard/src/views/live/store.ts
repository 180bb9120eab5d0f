// Flows as they happen: what runs, and what ended last. Bounded, because there may be thousands a second.

import type { FlowFrame, LiveFlow } from "../../live/feed";

export interface Running {
  flow: LiveFlow;
  /** When it was heard of first and last, ms by this machine's clock. */
  since: number;
  at: number;
}

export interface Flows {
  running: ReadonlyMap<string, Running>;
  ended: readonly Running[];
  omitted: number;
  /** When something was last left untold, ms: the end of any flow may be among it. */
  gapAt: number;
}

export const NO_FLOWS: Flows = { running: new Map(), ended: [], omitted: 0, gapAt: 0 };
const MOST_RUNNING = 500;
const MOST_ENDED = 60;
/** What isn't heard of for so long has ended unseen. */
const FORGOTTEN_MS = 90_000;
/** The same where its end may have been left out. */
const DOUBTED_MS = 5_000;

export interface Told {
  frames: FlowFrame[];
  omitted: number;
  /** Whether the connection was lost in between. */
  wasLost: boolean;
}

/** The same object where nothing has changed. */
export function told(before: Flows, { frames, omitted, wasLost }: Told, nowMs: number): Flows {
  const gapAt = wasLost || omitted > 0 ? nowMs : before.gapAt;
  const isOver = ({ at }: Running) => nowMs - at > (at <= gapAt ? DOUBTED_MS : FORGOTTEN_MS);
  if (frames.length === 0 && gapAt === before.gapAt && ![...before.running.values()].some(isOver)) return before;
  const running = new Map(before.running);
  let ended = [...before.ended];
  for (const { type, flow, at } of frames) {
    const known = running.get(flow.flowId);
    const now = { flow, at, since: known?.since ?? at - flow.elapsedTime / 1000 };
    if (type === "flow_complete") {
      running.delete(flow.flowId);
      ended = [now, ...ended.filter((each) => each.flow.flowId !== flow.flowId)];
    } else {
      running.set(flow.flowId, now);
    }
  }
  for (const [id, each] of running) if (isOver(each)) running.delete(id);
  while (running.size > MOST_RUNNING) running.delete(running.keys().next().value ?? "");
  return { running, ended: ended.slice(0, MOST_ENDED), omitted: before.omitted + omitted, gapAt };
}
