import { useMemo, useState } from "react";
import { Sparkline } from "../../charts/Sparkline";
import { operationName } from "../../format/names";
import { exact } from "../../format/numbers";
import { clock, moment } from "../../format/time";
import { Table, type Column } from "../../parts/Table";
import { A } from "../../url/A";
import { toView, useAddress } from "../../url/address";
import { words } from "../../words";
import { BY, by, type By, type ErrorGroup, type Row } from "./by";

const { errors: text } = words;

export function Groups({ of }: { of: ErrorGroup[] }) {
  const [what, choose] = useState<By>("message");
  const { query } = useAddress();
  const rows = useMemo(() => by(of, what), [of, what]);
  const columns = useMemo(() => columnsOf(what, query), [what, query]);
  return (
    <>
      <div className="row card-pad">
        <div className="segments small" role="group" aria-label={text.groups}>
          {BY.map((each) => <button key={each} type="button" aria-pressed={each === what} onClick={() => choose(each)}>{text[each]}</button>)}
        </div>
      </div>
      <Table key={what} caption={text.groups} rows={rows} columns={columns} keyOf={(row) => row.key} sortBy="count" none={text.none}
        text={(row) => [row.message, row.exceptionType, row.service, row.operation, row.peer].join(" ")} />
    </>
  );
}

function columnsOf(what: By, query: URLSearchParams): Column<Row>[] {
  const column = (id: "operation" | "service" | "peer", value: (row: Row) => string): Column<Row> => ({ id, title: text[id], value, isFirstUp: true });
  const by_ = {
    operation: column("operation", (row) => operationName(row.operation)), service: column("service", (row) => row.service), peer: column("peer", (row) => row.peer),
  };
  const message: Column<Row> = {
    id: "message", title: text.message, value: (row) => `${row.exceptionType} ${row.message}`, isFirstUp: true,
    show: (row) => <span title={row.message}><b>{row.exceptionType}</b> {row.message || (row.exceptionType === "" ? <i className="muted">{text.noMessage}</i> : "")}</span>,
  };
  const leading = { message: [message, by_.service, by_.operation, by_.peer], operation: [by_.operation], service: [by_.service], peer: [by_.service, by_.peer] }[what];
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
