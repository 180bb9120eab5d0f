import { useEffect, useRef, useState, type KeyboardEvent, type PointerEvent } from "react";
import type { Schemas } from "../api/client";
import { latency, number } from "../format/numbers";
import { clock, tick } from "../format/time";
import { useSettings } from "../settings";
import { words } from "../words";
import { timeMarks } from "./scale";
import { useWidth } from "./useSize";

export interface Region {
  /** µs since the epoch. */
  from: number;
  to: number;
  /** ms */
  fast: number;
  slow: number;
}

interface Cell {
  time: number;
  bucket: number;
}

interface Props {
  of: Schemas["Heatmap"];
  height?: number;
  /** What its figures say of themselves when they are pointed at. */
  source: string;
  region?: Region | null;
  onRegion?: (region: Region | null) => void;
}

const [LEFT, RIGHT, TOP, BOTTOM] = [56, 8, 6, 18];

/** Latency over time, darker where more calls are; a row of errors on top, because how long those took is not kept. */
export function Heatmap({ of, height = 150, source, region = null, onRegion }: Props) {
  const [box, width] = useWidth();
  const canvas = useRef<HTMLCanvasElement>(null);
  const [at, point] = useState<Cell | null>(null);
  const [begun, begin] = useState<Cell | null>(null);
  const { theme, contrast } = useSettings();
  const { times, buckets } = of;
  const cellWidth = (width - LEFT - RIGHT) / Math.max(1, times.length);
  const cellHeight = (height - TOP - BOTTOM) / Math.max(1, buckets.length + 1);
  useEffect(() => draw(canvas.current, of, width, height), [of, width, height, theme, contrast]);

  const cellAt = (event: PointerEvent): Cell => {
    const frame = event.currentTarget.getBoundingClientRect();
    return {
      time: within(Math.floor((event.clientX - frame.left - LEFT) / cellWidth), times.length),
      bucket: within(buckets.length - 1 - Math.floor((event.clientY - frame.top - TOP - cellHeight) / cellHeight), buckets.length),
    };
  };
  const choose = (a: Cell, b: Cell) => onRegion?.(regionOf(of, a, b));
  const press = (event: KeyboardEvent) => {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    const here = at ?? { time: times.length - 1, bucket: 0 };
    if (move) {
      event.preventDefault();
      point({ time: within(here.time + (move[0] ?? 0), times.length), bucket: within(here.bucket + (move[1] ?? 0), buckets.length) });
    } else if (event.key === "Enter" && onRegion) {
      if (begun === null) begin(here);
      else {
        choose(begun, here);
        begin(null);
      }
    } else if (event.key === "Escape" && (begun ?? region)) {
      event.stopPropagation();
      begin(null);
      onRegion?.(null);
    }
  };
  if (buckets.length === 0) return <p className="state muted">{words.chart.none}</p>;
  const seconds = ((times.at(-1) ?? 0) - (times[0] ?? 0)) / 1e6;
  const marked = begun !== null && at !== null ? regionOf(of, begun, at) : region;
  return (
    <div className="heatmap" ref={box}>
      {width > 0 && <>
        <canvas ref={canvas} tabIndex={0} role="application" aria-label={`${words.panel.heatmap}. ${onRegion ? `${words.chart.brush}. ` : ""}${at ? cellWords(of, at) : ""}`}
          onPointerMove={(event) => point(cellAt(event))} onPointerLeave={() => begun === null && point(null)}
          onPointerDown={(event) => {
            if (!onRegion) return;
            event.currentTarget.setPointerCapture(event.pointerId);
            begin(cellAt(event));
          }}
          onPointerUp={(event) => {
            if (begun !== null) choose(begun, cellAt(event));
            begin(null);
          }}
          onKeyDown={press} />
        <svg width={width} height={height} aria-hidden="true">
          {rowMarks(buckets.length).map((bucket) => ({ bucket, y: TOP + (buckets.length - bucket) * cellHeight + cellHeight / 2 + 4 })).filter(({ y }) => y > TOP + 20).map(({ bucket, y }) => (
            <text key={bucket} className="mark" x={LEFT - 6} y={y} textAnchor="end">{latency(buckets[bucket]?.to)}</text>
          ))}
          <text className="mark bad" x={LEFT - 6} y={TOP + Math.min(cellHeight, 10)} textAnchor="end">{words.chart.failed}</text>
          {timeMarks(times, width / 110).map((index) => <text key={index} className="mark" x={Math.min(LEFT + index * cellWidth, width - 26)} y={height - 4} textAnchor="middle">{tick(times[index] ?? 0, seconds)}</text>)}
          {marked && <rect className="region" {...frameOf(of, marked, cellWidth, cellHeight)} />}
          {at && <rect className="cross" x={LEFT + at.time * cellWidth} y={TOP + (buckets.length - at.bucket) * cellHeight} width={cellWidth} height={cellHeight} />}
        </svg>
        <p className="small muted chart-words" title={source}>{at ? cellWords(of, at) : onRegion ? words.chart.brush : "\u00a0"}</p>
      </>}
    </div>
  );
}

const within = (index: number, count: number) => Math.min(count - 1, Math.max(0, index));
const rowMarks = (count: number) => Array.from({ length: count }, (_, index) => index).filter((index) => index % Math.max(1, Math.ceil(count / 6)) === 0);

function cellWords({ times, buckets, counts, errors }: Schemas["Heatmap"], { time, bucket }: Cell): string {
  const range = buckets[bucket];
  const failed = errors[time] ?? 0;
  const said = words.chart.atLeast(number(counts[bucket]?.[time] ?? 0), latency(range?.from), latency(range?.to));
  return `${clock(times[time] ?? 0)}: ${said}${failed > 0 ? `, ${number(failed)} ${words.chart.failed}` : ""}`;
}

export function regionOf({ times, buckets, step }: Schemas["Heatmap"], a: Cell, b: Cell): Region {
  const [first, last] = [Math.min(a.time, b.time), Math.max(a.time, b.time)];
  const [low, high] = [Math.min(a.bucket, b.bucket), Math.max(a.bucket, b.bucket)];
  return { from: times[first] ?? 0, to: (times[last] ?? 0) + step * 1e6, fast: buckets[low]?.from ?? 0, slow: buckets[high]?.to ?? 0 };
}

function frameOf({ times, buckets, step }: Schemas["Heatmap"], { from, to, fast, slow }: Region, cellWidth: number, cellHeight: number) {
  const begin = times[0] ?? 0;
  const column = (time: number) => LEFT + within((time - begin) / (step * 1e6), times.length + 1) * cellWidth;
  const high = buckets.findLastIndex((bucket) => bucket.to <= slow);
  const low = Math.max(0, buckets.findIndex((bucket) => bucket.from >= fast));
  const y = TOP + (buckets.length - high) * cellHeight;
  return { x: column(from), y, width: Math.max(1, column(to) - column(from)), height: Math.max(1, (high - low + 1) * cellHeight) };
}

function draw(canvas: HTMLCanvasElement | null, { times, buckets, counts, errors, totals }: Schemas["Heatmap"], width: number, height: number) {
  const pen = canvas?.getContext("2d");
  if (!canvas || !pen || width === 0) return;
  const ratio = devicePixelRatio;
  [canvas.width, canvas.height] = [width * ratio, height * ratio];
  pen.scale(ratio, ratio);
  const style = getComputedStyle(canvas);
  const [ground, ink, red] = ["--heat-0", "--heat-1", "--red"].map((name) => style.getPropertyValue(name)) as [string, string, string];
  const [cellWidth, cellHeight] = [(width - LEFT - RIGHT) / Math.max(1, times.length), (height - TOP - BOTTOM) / (buckets.length + 1)];
  const most = Math.max(1, ...counts.flat());
  const cell = (time: number, row: number, colour: string, share: number) => {
    pen.globalAlpha = share;
    pen.fillStyle = colour;
    pen.fillRect(LEFT + time * cellWidth, TOP + row * cellHeight, Math.max(1, cellWidth - 0.5), Math.max(1, cellHeight - 0.5));
  };
  times.forEach((_, time) => {
    const total = totals[time] ?? 0;
    cell(time, 0, ground, 1);
    if ((errors[time] ?? 0) > 0) cell(time, 0, red, 0.5 + 0.5 * Math.min(1, (errors[time] ?? 0) / Math.max(1, total)));
    counts.forEach((row, bucket) => {
      cell(time, buckets.length - bucket, ground, 1);
      const count = row[time] ?? 0;
      // The root shows single slow calls beside thousands of fast ones.
      if (count > 0) cell(time, buckets.length - bucket, ink, 0.18 + 0.82 * Math.sqrt(count / most));
    });
  });
}
