import { describe, expect, it } from "vitest";
import { story, type Call } from "./story";

const call = (number: number, depth: number, startTime: number, duration: number) => ({ number, depth, startTime, duration }) as Call;

describe("the story of a flow", () => {
  const sequence = [call(1, 0, 0, 100), call(2, 1, 10, 30), call(3, 2, 12, 10), call(4, 1, 20, 50), call(5, 0, 200, 5)];
  it("says what each call waited for longest", () =>
    expect(story(sequence).map(({ longest }) => longest?.number ?? null)).toEqual([4, 3, null, null, null]));
  it("counts what runs at the same time once", () => expect(story(sequence).map(({ own }) => own)).toEqual([40, 20, null, null, null]));
});
