import type { ReactNode } from "react";
import { api, isProblem } from "../api/client";
import { address } from "../api/how";
import { exact, latency, number, percent, rate, trouble } from "../format/numbers";
import type { Totals, Window } from "../live/state";
import { useLook } from "../look";
import { How } from "../parts/How";
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
  const { graph: { beingNamed, totals, window }, filters: { operation }, how } = useLook();
  return <Row of={totals} window={window} how={how}>{beingNamed > 0 && operation === "" && <span>{words.cards.beingNamed(number(beingNamed))}</span>}</Row>;
}

/** Rollups don't know which services a flow went through, nor how the flows of a call ended: flows themselves do. */
function OfSome() {
  const { filters: { time, ...filters }, isReady } = useLook();
  const query = { ...given(filters), ...timeQuery(time) };
  const { data, error } = api.useQuery("get", "/api/v1/statistics", { params: { query } }, { enabled: isReady, refetchInterval: askAgainMs(time) });
  return (
    <Row of={data?.totals ?? null} window={data?.window ?? null} how={address("/api/v1/statistics", query)}>
      <span>{words.cards.began}</span>
      {error != null && <span className="warn" role="status">{isProblem(error) ? error.detail || error.title : words.problem.network}</span>}
      {data?.staleness.fresh === false && <span className="warn" role="status">{data.staleness.message}</span>}
    </Row>
  );
}

function Row({ of, window, how, children }: { of: Totals | null; window: Window | null; how: string; children: ReactNode }) {
  const { filters } = useLook();
  const { cards } = words;
  return (
    <section className="cards" aria-label={cards.label} aria-busy={of === null} data-as-of={window?.to}>
      <Figures of={of} />
      <div className="cards-notes small muted"><span>{filters.probes ? cards.probesShown : cards.probesHidden}</span>{children}</div>
      {of && <How url={how} />}
    </section>
  );
}

function Figures({ of }: { of: Totals | null }) {
  const { cards } = words;
  const steps = useSettings();
  const { flowCount, errorCount, timeouts } = of ?? { flowCount: 0, errorCount: 0, timeouts: 0 };
  const share = flowCount > 0 ? errorCount / flowCount : 0;
  const level = { "": "", some: "warn", many: "bad" }[trouble(share, steps)];
  const shown = (text: string) => (of === null ? "–" : text);
  return (
    <>
      <Card name={cards.total} id="total" value={shown(number(flowCount))} exactly={shown(exact(flowCount))} below={shown(rate(of?.rate ?? 0))} />
      <Card name={cards.success} id="success" value={flowCount > 0 ? percent(1 - share) : "–"} below={shown(cards.ended(number(flowCount - errorCount)))} />
      <Card name={cards.errors} id="errors" value={flowCount > 0 ? percent(share) : "–"} level={level}
        below={shown(timeouts > 0 ? `${cards.failed(number(errorCount))}, ${cards.timeouts(number(timeouts))}` : cards.failed(number(errorCount)))} />
      <Card name={cards.average} id="average" value={latency(of?.avgLatency)} below={cards.latencyHint} />
      {(["p50", "p95", "p99"] as const).map((name) => (
        <Card key={name} name={cards[name]} id={name} value={latency(of?.[`${name}Latency`])} below={cards.slower[name]} />
      ))}
    </>
  );
}

function Card({ name, id, value, below, level = "", exactly }: { name: string; id: string; value: ReactNode; below: string; level?: string; exactly?: string }) {
  return (
    <div className="card-figure" data-figure={id}>
      <span className="small muted">{name}</span>
      <b className={level} title={exactly}>{value}</b>
      <span className="small muted">{below}</span>
    </div>
  );
}
