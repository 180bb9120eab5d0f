import type { KeyboardEvent, PointerEvent } from "react";
import { clock, tick } from "../format/time";
import { go } from "../url/address";
import { words } from "../words";
import { Dots, type Dot } from "./Dots";
import { roundUp, runs, timeMarks } from "./scale";
import { useWidth } from "./useSize";

export interface Line {
  name: string;
  values: (number | null)[];
}

interface Props {
  title: string;
  times: number[];
  lines: Line[];
  show: (value: number) => string;
  /** The step that is pointed at, in all charts of a group. */
  at: number | null;
  onAt: (at: number | null) => void;
  level?: string;
  /** What its figures say of themselves when they are pointed at. */
  source: string;
  dots?: Dot[];
}

const HEIGHT = 92;
const [LEFT, RIGHT, TOP, BOTTOM] = [46, 8, 8, 18];

export function LineChart({ title, times, lines, show, at, onAt, level = "", source, dots = [] }: Props) {
  const [box, width] = useWidth();
  const top = roundUp(Math.max(0, ...lines.flatMap(({ values }) => values.map((value) => value ?? 0))));
  const x = (index: number) => LEFT + (index * (width - LEFT - RIGHT)) / Math.max(1, times.length - 1);
  const y = (value: number) => TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM);
  const seconds = ((times.at(-1) ?? 0) - (times[0] ?? 0)) / 1e6;
  const isEmpty = lines.every(({ values }) => values.every((value) => value === null));
  const point = (event: PointerEvent) => {
    const from = event.currentTarget.getBoundingClientRect().left;
    onAt(clamp(Math.round(((event.clientX - from - LEFT) / (width - LEFT - RIGHT)) * (times.length - 1)), times.length));
  };
  const press = (event: KeyboardEvent) => {
    const slowest = dots.filter(({ step }) => step === at).sort((a, b) => b.value - a.value)[0];
    if (event.key === "Enter" && slowest) { go(slowest.href); return; }
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    onAt(clamp((at ?? times.length) + step, times.length));
  };
  return (
    <figure className={`chart ${level}`}>
      <figcaption>
        <h3>{title}</h3>
        <span className="chart-now" title={source}>{at !== null && times[at] !== undefined && <span className="muted">{clock(times[at])}</span>}
          {lines.map(({ name, values }, index) => <span key={name} className={kindOf(index, lines)}><i />{lines.length > 1 && `${name} `}{shown(values, at, show)}</span>)}
        </span>
      </figcaption>
      <div className="plot" ref={box} onPointerMove={point} onPointerLeave={() => onAt(null)}>
        {width > 0 && (
          <svg width={width} height={HEIGHT} role="img" aria-label={`${summary(title, lines, show)} ${dots.length > 0 ? words.chart.openDot : ""}`} tabIndex={0} onKeyDown={press} onBlur={() => onAt(null)}>
            {[0, top / 2, top].map((mark) => <g key={mark}><path className="grid" d={`M${LEFT} ${y(mark)}H${width - RIGHT}`} />
              <text className="mark" x={LEFT - 6} y={y(mark) + 3.5} textAnchor="end">{show(mark)}</text></g>)}
            {timeMarks(times, width / 110).map((index) => <text key={index} className="mark" x={Math.min(x(index), width - 26)} y={HEIGHT - 4} textAnchor="middle">{tick(times[index] ?? 0, seconds)}</text>)}
            {lines.map(({ name, values }, index) => runs(values).map((run) => (
              <path key={`${name} ${run[0]?.[0]}`} className={`line ${kindOf(index, lines)}`} d={run.map(([step, value], first) => `${first === 0 ? "M" : "L"}${x(step)} ${y(value)}`).join("") + (run.length === 1 ? "h.01" : "")} />
            )))}
            {at !== null && at < times.length && <path className="cross" d={`M${x(at)} ${TOP}V${HEIGHT - BOTTOM}`} />}
            {isEmpty && <text className="mark" x={width / 2} y={HEIGHT / 2} textAnchor="middle">{words.chart.none}</text>}
          </svg>
        )}
        {width > 0 && dots.length > 0 && <Dots of={dots} x={x} y={y} width={width} height={HEIGHT} />}
      </div>
      {dots.length > 0 && <p className="small muted">{words.chart.dots}</p>}
    </figure>
  );
}

/** The middle one of three stands out, as does one alone. */
const kindOf = (index: number, { length }: Line[]) => `series-${length > 1 ? index : 1}`;

const clamp = (index: number, count: number) => Math.min(count - 1, Math.max(0, index));

function shown(values: (number | null)[], at: number | null, show: (value: number) => string): string {
  const value = at === null ? values.findLast((each) => each !== null) : values[at];
  return value === null || value === undefined ? "–" : show(value);
}

function summary(title: string, lines: Line[], show: (value: number) => string): string {
  return `${title}: ${lines.map(({ name, values }) => {
    const known = values.filter((value) => value !== null);
    return known.length === 0 ? `${name} –` : `${name} ${show(Math.min(...known))} – ${show(Math.max(...known))}`;
  }).join("; ")}. ${words.chart.keyboard}.`;
}
