import { useMemo, useState } from "react";
import { api, type Edge, type Schemas } from "../../api/client";
import { address } from "../../api/how";
import { shortId } from "../../format/names";
import { exact, latency, percent, rate, change } from "../../format/numbers";
import { clock } from "../../format/time";
import { useLook } from "../../look";
import { edgeKey } from "../../live/state";
import { openEdge } from "../../map/choice";
import { How } from "../../parts/How";
import { sourceOf } from "../../parts/source";
import { Answer, Nothing, Stale } from "../../parts/States";
import { Table, type Column } from "../../parts/Table";
import { go, toView, useAddress } from "../../url/address";
import { words } from "../../words";
import { Unused } from "../Unused";
import { question, useCompareChoice, type CompareChoice } from "./choice";
import { Chooser } from "./Chooser";
import { DifferenceMap } from "./DifferenceMap";

const { compare: text } = words;

export function CompareView() {
  const { filters } = useLook();
  const choice = useCompareChoice();
  const [opened, open] = useState(() => Date.now());
  const query = question(filters, choice, opened);
  const compared = api.useQuery("get", "/api/v1/dependencies/compare", { params: { query: query ?? {} } }, { enabled: query !== null, staleTime: Infinity, placeholderData: (before) => before });
  const refresh = () => {
    const now = Date.now();
    // Only windows up to now become other ones.
    if (JSON.stringify(question(filters, choice, now)) === JSON.stringify(query)) void compared.refetch();
    else open(now);
  };
  return (
    <div className="stack">
      <section className="card">
        <div className="card-head"><h1>{text.title}</h1><Chooser choice={choice} /><Unused of={[...(choice.mode === "versions" ? ["service" as const] : []), "status"]} />
          <span className="push" /><button type="button" disabled={query === null} onClick={refresh}>{words.problem.refresh}</button>
          {query && <How url={address("/api/v1/dependencies/compare", query)} />}
        </div>
        {query === null && <Nothing>{text.choose}</Nothing>}
      </section>
      {query !== null && <Answer of={compared}>{(answer) => <Found of={answer} sides={sides(choice, filters.environment)} />}</Answer>}
    </div>
  );
}

/** What each side is called: by what is compared. */
function sides({ mode, baselineEnvironment, version, baselineVersion }: CompareChoice, environment: string): [string, string] {
  if (mode === "environments") return [baselineEnvironment, environment];
  return mode === "versions" ? [baselineVersion, version] : [text.before, text.now];
}

function Found({ of, sides: [before, now] }: { of: Schemas["CompareAnswer"]; sides: [string, string] }) {
  const { window, baselineWindow, added, removed, changed, unchangedCount } = of;
  const span = ({ from, to }: Schemas["WindowAnswer"]) => words.panel.window(clock(from), clock(to));
  const source = sourceOf([baselineWindow, window].map(span).join("\n"), address("/api/v1/dependencies/compare"));
  const significant = changed.filter(({ errorRate, latency: slow, rate: often }) => [errorRate, slow, often].some((each) => each.significant));
  return (
    <>
      <div className="sides">
        <p><i className="side-mark baseline" /> <b>{before}</b> <span className="muted">{span(baselineWindow)}</span></p>
        <p><i className="side-mark" /> <b>{now}</b> <span className="muted">{span(window)}</span></p>
        <p className="muted" title={source}>{text.unchanged(exact(unchangedCount))}</p>
        <Stale of={{ staleness: of.baselineStaleness }} />
      </div>
      {added.length + removed.length + significant.length === 0
        ? <p className="card card-body">{text.nothing}</p>
        : <DifferenceMap added={added} removed={removed} changed={significant} />}
      {significant.length > 0 && <section className="card"><h2>{text.changed}</h2><Changed of={significant} source={source} /></section>}
      {added.length > 0 && <section className="card"><h2>{text.added}</h2><Plain of={added} title={text.added} source={source} /></section>}
      {removed.length > 0 && <section className="card"><h2>{text.removed}</h2><Plain of={removed} title={text.removed} source={source} /></section>}
    </>
  );
}

const ends: Column<Edge>[] = [
  { id: "from", title: words.table.from, value: (edge) => shortId(edge.from), isFirstUp: true },
  { id: "to", title: words.table.to, value: (edge) => shortId(edge.to), isFirstUp: true },
];

function useOpen() {
  const { query } = useAddress();
  return (edge: Edge) => go(toView("/", query, openEdge(edge)));
}

function Plain({ of, title, source }: { of: Edge[]; title: string; source: string }) {
  const open = useOpen();
  const columns = useMemo<Column<Edge>[]>(() => [
    ...ends,
    { id: "count", title: words.table.count, value: (edge) => edge.callCount, show: (edge) => exact(edge.callCount) },
    { id: "rate", title: words.table.rate, value: (edge) => edge.rate, show: (edge) => rate(edge.rate) },
    { id: "errors", title: words.panel.errorShare, value: (edge) => edge.errorRate, show: (edge) => percent(edge.errorRate) },
    { id: "p95", title: "p95", value: (edge) => edge.p95Latency, show: (edge) => latency(edge.p95Latency) },
  ], []);
  return <Table caption={title} rows={of} columns={columns} keyOf={edgeKey} sortBy="count" source={source} onRow={open} />;
}

type Change = Schemas["EdgeChange"];

function Changed({ of, source }: { of: Change[]; source: string }) {
  const open = useOpen();
  const columns = useMemo<Column<Change>[]>(() => {
    const pair = (id: string, title: string, which: "rate" | "errorRate" | "latency", value: (edge: Edge) => number | null, show: (value: number | null) => string): Column<Change> => ({
      id, title, value: ({ current, baseline }) => Math.abs((value(current) ?? 0) - (value(baseline) ?? 0)),
      show: (row) => {
        const [before, now] = [value(row.baseline), value(row.current)];
        return <span className={row[which].significant ? "" : "muted"} title={row[which].significant ? `${text.significant}\n${source}` : source}>
          {show(before)} → {row[which].significant ? <b>{show(now)}</b> : show(now)} <span className="small muted change">{change(now, before)}</span></span>;
      },
    });
    return [
      ...ends.map(({ id, title, value }): Column<Change> => ({ id, title, isFirstUp: true, value: ({ current }) => value(current) })),
      pair("rate", text.rate, "rate", (edge) => edge.rate, (value) => rate(value ?? 0)),
      pair("errors", text.errors, "errorRate", (edge) => edge.errorRate, percent),
      pair("latency", text.latency, "latency", (edge) => edge.p95Latency ?? null, latency),
    ];
  }, [source]);
  return <Table caption={text.changed} rows={of} columns={columns} keyOf={({ current }) => edgeKey(current)} sortBy="errors" onRow={({ current }) => open(current)} />;
}
