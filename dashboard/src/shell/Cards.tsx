import type { ReactNode } from "react";
import { api, isProblem } from "../api/client";
import { address } from "../api/how";
import { exact, latency, number, percent, rate, trouble } from "../format/numbers";
import type { Totals, Window } from "../live/state";
import { useLook } from "../look";
import { How } from "../parts/How";
import { useSource } from "../parts/source";
import { useSettings } from "../settings";
import { askAgainMs, given, timeQuery, type Filters } from "../url/filters";
import { words } from "../words";

/** The headline of what is looked at, the same on every view. */
export function Cards() {
  const { filters } = useLook();
  return isOfSome(filters) ? <OfSome /> : <OfAll />;
}

const isOfSome = ({ service, namespace, cluster, status }: Filters) => [service, namespace, cluster, status].some((chosen) => chosen !== "");

function OfAll() {
  const { graph: { beingNamed, staleness, totals, window }, filters: { operation }, how } = useLook();
  return <Row of={totals} window={window} staleness={staleness} how={how}>{beingNamed > 0 && operation === "" && <span>{words.cards.beingNamed(number(beingNamed))}</span>}</Row>;
}

/** Rollups don't know which services a flow went through, nor how the flows of a call ended: flows themselves do. */
function OfSome() {
  const { filters: { time, ...filters }, isReady } = useLook();
  const query = { ...given(filters), ...timeQuery(time) };
  const { data, error } = api.useQuery("get", "/api/v1/statistics", { params: { query } }, { enabled: isReady, refetchInterval: askAgainMs(time) });
  return (
    <Row of={data?.totals ?? null} window={data?.window ?? null} staleness={data?.staleness ?? null} how={address("/api/v1/statistics", query)}>
      <span>{words.cards.began}</span>
      {error != null && <span className="warn" role="status">{isProblem(error) ? error.detail || error.title : words.problem.network}</span>}
      {data?.staleness.fresh === false && <span className="warn" role="status">{data.staleness.message}</span>}
    </Row>
  );
}

function Row({ of, window, staleness, how, children }: { of: Totals | null; window: Window | null; staleness: { fresh: boolean; message: string } | null; how: string; children: ReactNode }) {
  const { filters } = useLook();
  const { cards } = words;
  const lacks = staleness?.fresh === false ? staleness.message || words.fresh.stale : "";
  const source = [useSource(how), lacks].join("\n").trim();
  return (
    <section className={`cards ${lacks === "" ? "" : "incomplete"}`} aria-label={cards.label} aria-busy={of === null} data-as-of={window?.to}>
      <Figures of={of} source={source} />
      <div className="cards-notes small muted"><span>{filters.probes ? cards.probesShown : cards.probesHidden}</span>{children}</div>
      {of && <How url={how} />}
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
