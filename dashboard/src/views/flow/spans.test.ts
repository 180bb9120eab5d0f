import { describe, expect, it } from "vitest";
import { failures, lines, unfolded, type Span } from "./spans";

const span = (spanId: string, parentSpanId: string | null, startTime: number, endTime: number, more: Partial<Span> = {}) =>
  ({ spanId, parentSpanId, startTime, endTime, duration: endTime - startTime, status: { code: "UNSET", message: "" }, events: [], attributes: {}, ...more }) as unknown as Span;
const told = (spans: Span[]) => lines(spans).map(({ span: { spanId }, depth, below }) => `${"-".repeat(depth)}${spanId}+${below}`);

describe("lines of a trace", () => {
  it("tell parents before children, and children by time", () => {
    expect(told([span("c", "a", 5, 9), span("d", "b", 2, 3), span("a", null, 0, 10), span("b", "a", 1, 4)])).toEqual(["a+3", "-b+1", "--d+0", "-c+0"]);
  });
  it("lose nothing: orphans stand at the top, spans that are their own parents too", () => {
    expect(told([span("a", "gone", 0, 1), span("b", "b", 1, 2)])).toEqual(["a+0", "b+0"]);
  });
  it("fold what is below", () => {
    const all = lines([span("a", null, 0, 10), span("b", "a", 1, 4), span("d", "b", 2, 3), span("c", "a", 5, 9)]);
    expect(unfolded(all, new Set(["b"])).map((line) => line.span.spanId)).toEqual(["a", "b", "c"]);
  });
  it("mark what the end waited for", () => {
    const all = lines([span("a", null, 0, 10), span("slow", "a", 1, 9), span("fast", "a", 1, 3), span("first", "a", 0, 1), span("late", "a", 8, 14)]);
    expect(all.filter((line) => line.isCritical).map((line) => line.span.spanId)).toEqual(["a", "first", "slow"]);
  });
  it("take a hundred thousand spans, however deep, in little time", () => {
    const deep = Array.from({ length: 100_000 }, (_, index) => span(`s${index}`, index === 0 ? null : `s${index % 7 === 0 ? index - 7 : index - 1}`, index, 200_000 - index));
    const began = performance.now();
    expect(lines(deep)).toHaveLength(100_000);
    expect(performance.now() - began).toBeLessThan(5_000);
  });
});

describe("failures", () => {
  it("begin with the deepest, in the words of the last exception", () => {
    const failed = { status: { code: "ERROR", message: "no" } } as Partial<Span>;
    const all = lines([span("a", null, 0, 9, failed), span("b", "a", 1, 2, { ...failed, events: [{ name: "exception", timestamp: 1, attributes: { "exception.type": "E", "exception.message": "<b>" } }] })]);
    expect(failures(all).map(({ span: { spanId }, type, message }) => [spanId, type, message])).toEqual([["b", "E", "<b>"], ["a", "", "no"]]);
  });
});
