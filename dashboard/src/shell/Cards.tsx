import type { ReactNode } from "react";
import { exact, latency, number, percent, rate, trouble } from "../format/numbers";
import type { Totals } from "../live/state";
import { useLook } from "../look";
import { How } from "../parts/How";
import { useSource } from "../parts/source";
import { useSettings } from "../settings";
import { Unused } from "../views/Unused";
import { words } from "../words";

/** The headline of what is looked at, the same on every view. */
export function Cards() {
  const { graph: { beingNamed, staleness, totals, window }, filters, how } = useLook();
  const { cards } = words;
  const lacks = staleness?.fresh === false ? staleness.message || words.fresh.stale : "";
  const source = [useSource(how), lacks].join("\n").trim();
  return (
    <section className={`cards ${lacks === "" ? "" : "incomplete"}`} aria-label={cards.label} aria-busy={totals === null} data-as-of={window?.to}>
      <Figures of={totals} source={source} />
      <div className="cards-notes small muted">
        <span>{filters.probes ? cards.probesShown : cards.probesHidden}</span>
        <Unused of={["service", "namespace", "cluster", "status"]} />
        {beingNamed > 0 && filters.operation === "" && <span>{cards.beingNamed(number(beingNamed))}</span>}
      </div>
      {totals && <How url={how} />}
    </section>
  );
}

function Figures({ of, source }: { of: Totals | null; source: string }) {
  const { cards } = words;
  const steps = useSettings();
  const { flowCount, errorCount, timeouts } = of ?? { flowCount: 0, errorCount: 0, timeouts: 0 };
  const share = flowCount > 0 ? errorCount / flowCount : 0;
  const level = { "": "", some: "warn", many: "bad" }[trouble(share, steps)];
  const shown = (text: string) => (of === null ? "–" : text);
  return (
    <>
      <Card name={cards.total} id="total" value={shown(number(flowCount))} source={`${shown(exact(flowCount))}\n${source}`} below={shown(rate(of?.rate ?? 0))} />
      <Card name={cards.success} id="success" source={source} value={flowCount > 0 ? percent(1 - share) : "–"} below={shown(cards.ended(number(flowCount - errorCount)))} />
      <Card name={cards.errors} id="errors" source={source} value={flowCount > 0 ? percent(share) : "–"} level={level}
        below={shown(timeouts > 0 ? `${cards.failed(number(errorCount))}, ${cards.timeouts(number(timeouts))}` : cards.failed(number(errorCount)))} />
      <Card name={cards.average} id="average" source={source} value={latency(of?.avgLatency)} below={cards.latencyHint} />
      {(["p50", "p95", "p99"] as const).map((name) => (
        <Card key={name} name={cards[name]} id={name} source={source} value={latency(of?.[`${name}Latency`])} below={cards.slower[name]} />
      ))}
    </>
  );
}

function Card({ name, id, value, below, level = "", source }: { name: string; id: string; value: ReactNode; below: string; level?: string; source: string }) {
  return (
    <div className="card-figure" data-figure={id}>
      <span className="small muted">{name}</span>
      <b className={level} title={source}>{value}</b>
      <span className="small muted">{below}</span>
    </div>
  );
}
