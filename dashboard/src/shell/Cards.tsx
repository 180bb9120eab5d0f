import type { ReactNode } from "react";
import { exact, latency, number, percent, rate, trouble } from "../format/numbers";
import { useLook } from "../look";
import { How } from "../parts/How";
import { useSettings } from "../settings";
import { useHeadline, type Headline } from "../totals";
import { words } from "../words";

/** The headline of what is looked at, the same on every view. */
export function Cards() {
  const headline = useHeadline();
  const { graph: { beingNamed, window }, filters } = useLook();
  const { cards } = words;
  return (
    <section className="cards" aria-label={cards.label} aria-busy={headline === undefined} data-as-of={window?.to}>
      {headline ? <Figures of={headline} /> : <Figures of={UNKNOWN} />}
      <div className="cards-notes small muted">
        <span>{filters.probes ? cards.probesShown : cards.probesHidden}</span>
        {beingNamed > 0 && filters.operation === "" && <span>{cards.beingNamed(number(beingNamed))}</span>}
      </div>
      {headline && <How url={headline.how} />}
    </section>
  );
}

const UNKNOWN: Headline = { count: NaN, errors: NaN, timeouts: 0, rate: NaN, average: null, percentiles: { p50: null, p95: null, p99: null }, how: "" };

function Figures({ of: { count, errors, timeouts, rate: perSecond, average, percentiles } }: { of: Headline }) {
  const { cards } = words;
  const steps = useSettings();
  const isKnown = !Number.isNaN(count);
  const share = count > 0 ? errors / count : 0;
  const level = { "": "", some: "warn", many: "bad" }[trouble(share, steps)];
  const shown = (text: string) => (isKnown ? text : "–");
  return (
    <>
      <Card name={cards.total} id="total" value={shown(number(count))} exactly={shown(exact(count))} below={shown(cards.rate(rate(perSecond)))} />
      <Card name={cards.success} id="success" value={shown(count > 0 ? percent(1 - share) : "–")} below={shown(cards.ended(number(count - errors)))} />
      <Card name={cards.errors} id="errors" value={shown(count > 0 ? percent(share) : "–")} level={isKnown ? level : ""}
        below={shown(timeouts > 0 ? `${cards.failed(number(errors))}, ${cards.timeouts(number(timeouts))}` : cards.failed(number(errors)))} />
      <Card name={cards.average} id="average" value={latency(average)} below={cards.latencyHint} />
      {(["p50", "p95", "p99"] as const).map((name) => (
        <Card key={name} name={cards[name]} id={name} value={latency(percentiles?.[name])} hint={percentiles === null ? cards.notAdded : undefined} below={percentiles === null ? cards.ofOne : cards.slower[name]} />
      ))}
    </>
  );
}

function Card({ name, id, value, below, level = "", exactly, hint }: {
  name: string; id: string; value: ReactNode; below: string; level?: string; exactly?: string; hint?: string | undefined;
}) {
  return (
    <div className="card-figure" data-figure={id}>
      <span className="small muted">{name}</span>
      <b className={`${level}${hint === undefined ? "" : " approximate"}`} title={hint ?? exactly}>{value}</b>
      <span className="small muted">{below}</span>
    </div>
  );
}
