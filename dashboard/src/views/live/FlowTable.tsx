import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { client, type Schemas } from "../../api/client";
import { address } from "../../api/how";
import { useMaySeeFlows } from "../../api/me";
import { digits } from "../../format/cells";
import { operationName } from "../../format/names";
import { exact } from "../../format/numbers";
import { clock, moment } from "../../format/time";
import { useLook } from "../../look";
import { How } from "../../parts/How";
import { useSource } from "../../parts/source";
import { Loading, Nothing, Refused, Stale } from "../../parts/States";
import { StatusMark } from "../../parts/StatusMark";
import { Table, type Column } from "../../parts/Table";
import { go, toView, useAddress } from "../../url/address";
import { askAgainMs, given, timeQuery } from "../../url/filters";
import { words } from "../../words";

type Flow = Schemas["FlowListed"];
const { live: text } = words;
const PAGE = 100;

/** Flows of the chosen time, page after page. */
export function Flows() {
  const { filters: { operation, environment, service, namespace, cluster, status, probes, time } } = useLook();
  const maySee = useMaySeeFlows();
  const [slowest, sort] = useState(false);
  const query = {
    ...given({ operation, environment, service, namespace, cluster, status, probes }), ...timeQuery(time), pageSize: PAGE,
    sort: slowest ? "-duration" as const : "-startTime" as const,
  };
  const flows = useInfiniteQuery({
    queryKey: ["flows", query], enabled: maySee === true, initialPageParam: 1, placeholderData: keepPreviousData,
    queryFn: async ({ pageParam }): Promise<Schemas["FlowsAnswer"]> => {
      const { data, error } = await client.GET("/api/v1/flows", { params: { query: { ...query, page: pageParam } } });
      // eslint-disable-next-line @typescript-eslint/only-throw-error -- the problem document is what is shown.
      if (error) throw error;
      return data;
    },
    getNextPageParam: (last, pages) => (pages.length * PAGE < last.total ? pages.length + 1 : undefined),
    refetchInterval: ({ state }) => ((state.data?.pages.length ?? 1) > 1 ? false : askAgainMs(time)),
  });
  const url = address("/api/v1/flows", query);
  const source = useSource(url);
  const { pages } = flows.data ?? { pages: [] };
  const total = pages[0]?.total ?? 0;
  if (maySee === undefined) return <Loading />;
  if (!maySee) return <section className="card"><h2>{text.list}</h2><Nothing>{words.panel.notAllowed}</Nothing></section>;
  return (
    <section className="card">
      <div className="card-head">
        <h2>{text.list}</h2>
        {flows.data && <span className="small muted" data-figure="flows" title={source}>{text.total(exact(total))}</span>}
        <span className="push" />
        <div className="segments small" role="group">
          <button type="button" aria-pressed={!slowest} onClick={() => sort(false)}>{text.newest}</button>
          <button type="button" aria-pressed={slowest} onClick={() => sort(true)}>{text.slowest}</button>
        </div>
        <How url={url} />
      </div>
      {flows.error != null && <Refused error={flows.error} again={() => void flows.refetch()} />}
      {flows.isPending && <Loading />}
      {pages[0] && <Stale of={pages[0]} />}
      {flows.data && <List flows={pages.flatMap((page) => page.flows)} slowest={slowest} source={source} />}
      {flows.hasNextPage && <p className="card-body"><button type="button" disabled={flows.isFetchingNextPage} onClick={() => void flows.fetchNextPage()}>{text.more}</button></p>}
    </section>
  );
}

function List({ flows, slowest, source }: { flows: Flow[]; slowest: boolean; source: string }) {
  const { query } = useAddress();
  const columns = useMemo<Column<Flow>[]>(() => [
    { id: "status", title: text.status, value: (flow) => flow.status, show: (flow) => <StatusMark status={flow.status} withWord />, isFirstUp: true },
    { id: "operation", title: text.operation, value: (flow) => operationName(flow.operationName), show: (flow) => <b>{operationName(flow.operationName)}</b>, isFirstUp: true },
    { id: "startTime", title: text.started, value: (flow) => flow.startTime, show: (flow) => <span title={moment(flow.startTime)}>{clock(flow.startTime)}</span> },
    { id: "duration", title: `${text.duration}, ms`, value: (flow) => flow.duration, show: (flow) => digits(flow.duration / 1000) },
    { id: "spans", title: text.spans, value: (flow) => flow.spanCount, show: (flow) => exact(flow.spanCount) },
    { id: "errors", title: text.errors, value: (flow) => flow.errorCount, show: (flow) => exact(flow.errorCount), level: (flow) => (flow.errorCount > 0 ? "bad" : "") },
    { id: "services", title: text.services, value: (flow) => flow.services.join(", "), isFirstUp: true, isWide: true },
    { id: "id", title: text.flow, value: (flow) => flow.flowId, show: (flow) => <span className="mono muted">{flow.flowId.slice(0, 8)}</span>, isFirstUp: true },
  ], []);
  return (
    <Table key={String(slowest)} caption={text.list} rows={flows} columns={columns} keyOf={(flow) => flow.flowId} sortBy={slowest ? "duration" : "startTime"} none={words.panel.noFlows} source={source}
      text={(flow) => `${flow.operationName} ${flow.flowId} ${flow.services.join(" ")}`} onRow={(flow) => go(toView(`/flows/${encodeURIComponent(flow.flowId)}`, query))} />
  );
}
