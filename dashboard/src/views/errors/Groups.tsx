import { useMemo, useState } from "react";
import { Sparkline } from "../../charts/Sparkline";
import { operationName } from "../../format/names";
import { useLook } from "../../look";
import { exact } from "../../format/numbers";
import { clock, moment } from "../../format/time";
import { Table, type Column } from "../../parts/Table";
import { A } from "../../url/A";
import { toView, useAddress } from "../../url/address";
import { words } from "../../words";
import { BY, by, type By, type ErrorGroup, type Row } from "./by";

const { errors: text } = words;

export function Groups({ of, source }: { of: ErrorGroup[]; source: string }) {
  const [what, choose] = useState<By>("message");
  const { query } = useAddress();
  const { filters: { operation } } = useLook();
  const rows = useMemo(() => by(of, what), [of, what]);
  const columns = useMemo(() => columnsOf(what, operation === "", query), [what, operation, query]);
  return (
    <Table key={what} caption={text.groups} rows={rows} columns={columns} keyOf={(row) => row.key} sortBy="count" none={text.none} source={source}
      text={(row) => [row.message, row.exceptionType, row.service, row.operation, row.peer].join(" ")} beside={
        <div className="segments" role="group" aria-label={text.groups}>
          {BY.map((each) => <button key={each} type="button" aria-pressed={each === what} onClick={() => choose(each)}>{text[each]}</button>)}
        </div>
      } />
  );
}

function columnsOf(what: By, withOperation: boolean, query: URLSearchParams): Column<Row>[] {
  const operation: Column<Row> = { id: "operation", title: text.operation, value: (row) => operationName(row.operation), isFirstUp: true };
  const service: Column<Row> = {
    id: "service", title: what === "service" ? text.service : text.where, value: (row) => `${row.service} ${row.peer}`, isFirstUp: true,
    show: (row) => <>{row.service}{row.peer !== "" && <span className="muted"> → {row.peer}</span>}</>,
  };
  const message: Column<Row> = {
    id: "message", title: text.message, value: (row) => `${row.exceptionType} ${row.message}`, isFirstUp: true, isWide: true,
    show: (row) => <span title={row.message}><b>{row.exceptionType}</b> {row.message || (row.exceptionType === "" ? <i className="muted">{text.noMessage}</i> : "")}</span>,
  };
  const leading = { message: [message, service, ...(withOperation ? [operation] : [])], operation: [operation], service: [service], peer: [service] }[what];
  return [
    { id: "count", title: text.count, value: (row) => row.count, show: (row) => exact(row.count) },
    ...leading,
    { id: "trend", title: text.trend, value: () => "", isFixed: true, show: (row) => <Sparkline level="bad" values={row.trend} /> },
    { id: "first", title: text.first, value: (row) => row.firstSeen, show: (row) => <span title={moment(row.firstSeen)}>{clock(row.firstSeen)}</span> },
    { id: "last", title: text.last, value: (row) => row.lastSeen, show: (row) => <span title={moment(row.lastSeen)}>{clock(row.lastSeen)}</span> },
    {
      id: "examples", title: text.examples, value: () => "", isFixed: true,
      show: (row) => <span className="row mono one-line">{row.traceIds.map((id) => <A key={id} href={toView(`/flows/${encodeURIComponent(id)}`, query)}>{id.slice(0, 8)}</A>)}</span>,
    },
  ];
}
