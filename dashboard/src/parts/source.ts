// What figures say of themselves when they are pointed at: the time they are of, and the question that gives them.

import { useLook } from "../look";
import { timeWords } from "../shell/TimeMenu";

export const sourceOf = (when: string, url: string) => `${when}\n${decodeURI(new URL(url).pathname)}`.trim();

/** Of the time that is looked at. */
export function useSource(url: string): string {
  const { filters: { time } } = useLook();
  return sourceOf(timeWords(time), url);
}
