import { useState } from "react";
import type { Schemas } from "../api/client";
import { useMaySeeFlows } from "../api/me";
import { LineChart } from "../charts/LineChart";
import { operationName } from "../format/names";
import { latency, percent, rate as perSecond } from "../format/numbers";
import { clock } from "../format/time";
import { toView, useAddress } from "../url/address";
import { words } from "../words";

export interface SeriesPoint {
  time: number;
  rate: number;
  errorRate: number;
  p50Latency?: number | null;
  p95Latency?: number | null;
  p99Latency?: number | null;
}

/** Without the step that is still running: its few calls would look like a change. */
export function whole<T extends SeriesPoint>({ series, step, window }: { series: T[]; step: number; window: { to: number } }): T[] {
  return series.length > 2 ? series.filter(({ time }) => time + step * 1e6 <= window.to) : series;
}

/** The flows of the steps that are drawn, by step. */
export function placed(exemplars: Schemas["Exemplar"][], times: number[]): { step: number; of: Schemas["Exemplar"] }[] {
  const [first = 0, second = Infinity] = times;
  return exemplars.map((of) => ({ step: Math.floor((of.time - first) / (second - first)), of })).filter(({ step }) => step >= 0 && step < times.length);
}

/** Rate, errors and latency over one time, with one crosshair; or the same as a table. */
export function Series({ of, exemplars, source }: { of: SeriesPoint[]; exemplars: Schemas["Exemplar"][]; source: string }) {
  const [at, point] = useState<number | null>(null);
  const [isTable, showTable] = useState(false);
  const times = of.map(({ time }) => time);
  const all = { times, at, source, onAt: point };
  const { query } = useAddress();
  const dots = useMaySeeFlows() ? placed(exemplars, times).map(({ step, of: { traceId, operationName: name, latency: took, time, errors } }) => ({
    step, value: took, isFailed: errors > 0, title: words.chart.dot(operationName(name), latency(took), clock(time), errors > 0), href: toView(`/flows/${encodeURIComponent(traceId)}`, query),
  })) : [];
  return (
    <div className="stack">
      {isTable ? <SeriesTable of={of} source={source} /> : <>
        <LineChart {...all} title={words.panel.rate} lines={[{ name: words.panel.rate, values: of.map(({ rate }) => rate) }]} show={perSecond} />
        <LineChart {...all} level="bad" title={words.panel.errors} lines={[{ name: words.panel.errors, values: of.map(({ errorRate }) => errorRate) }]} show={percent} />
        <LineChart {...all} title={words.panel.latency} show={latency} dots={dots} lines={[
          { name: "p50", values: of.map(({ p50Latency }) => p50Latency ?? null) },
          { name: "p95", values: of.map(({ p95Latency }) => p95Latency ?? null) },
          { name: "p99", values: of.map(({ p99Latency }) => p99Latency ?? null) },
        ]} />
      </>}
      <button type="button" className="link small at-start" onClick={() => showTable(!isTable)}>{isTable ? words.panel.asChart : words.panel.asTable}</button>
    </div>
  );
}

function SeriesTable({ of, source }: { of: SeriesPoint[]; source: string }) {
  return (
    <div className="table-scroll" tabIndex={0} role="region" aria-label={words.panel.asTable}>
      <table className="simple" title={source}>
        <thead><tr><th scope="col">{words.chart.time}</th>{[words.panel.rate, words.panel.errors, "p50", "p95", "p99"].map((name) => <th key={name} scope="col" className="number">{name}</th>)}</tr></thead>
        <tbody>{of.map((point) => (
          <tr key={point.time}><td>{clock(point.time)}</td><td className="number">{perSecond(point.rate)}</td><td className="number">{percent(point.errorRate)}</td>
            <td className="number">{latency(point.p50Latency)}</td><td className="number">{latency(point.p95Latency)}</td><td className="number">{latency(point.p99Latency)}</td></tr>
        ))}</tbody>
      </table>
    </div>
  );
}
