import { useState } from "react";
import { api, type Schemas } from "../api/client";
import { address } from "../api/how";
import { exact, number } from "../format/numbers";
import { How } from "../parts/How";
import { sourceOf } from "../parts/source";
import { Answer } from "../parts/States";
import { words } from "../words";

const { status: text } = words;
const AGAIN_MS = 3_000;
const URL_OF_ALL = address("/api/v1/status");
const SOURCE = sourceOf("", URL_OF_ALL);
const seconds = (value: number | null | undefined) => (value === null || value === undefined ? "–" : `${number(value)} s`);

export function StatusView() {
  const status = api.useQuery("get", "/api/v1/status", {}, { refetchInterval: AGAIN_MS });
  return (
    <div className="stack">
      <div className="view-head"><h1>{text.title}</h1><span className="push" /><How url={URL_OF_ALL} /></div>
      <Answer of={status}>{(answer) => <>
        {answer.message !== "" && <p className={`card card-body ${answer.fresh ? "" : "warn"}`} role="status">{answer.message}</p>}
        <div className="columns" title={SOURCE}><Graphs of={answer.graphs} /><Spans of={answer.spans} /><Roles of={answer} /></div>
        <Counts of={answer.counts} all={answer.roles.every(({ answers }) => answers)} />
        <Documents />
      </>}</Answer>
    </div>
  );
}

function Graphs({ of }: { of: Schemas["Staleness"] }) {
  return (
    <section className="card card-body">
      <h2>{text.graphs}</h2>
      <p className={of.fresh ? "muted" : "warn"}>{of.message}</p>
      <table className="simple">
        <thead><tr><th scope="col">{text.shard}</th><th scope="col">{text.state}</th><th scope="col" className="number">{text.behind}</th><th scope="col" className="number">{text.commit}</th></tr></thead>
        <tbody>{Object.entries(of.shards).map(([number_, shard]) => (
          <tr key={number_}><td>{number_}</td><td className={["live", "waiting"].includes(shard.state) ? "" : "warn"}>{shard.message || shard.state}</td><td className="number">{seconds(shard.behindSeconds)}</td><td className="number">{exact(shard.seq)}</td></tr>
        ))}</tbody>
      </table>
    </section>
  );
}

function Spans({ of }: { of: Schemas["SpansStaleness"] | null | undefined }) {
  if (!of) return null;
  return (
    <section className="card card-body">
      <h2>{text.spans}</h2>
      {of.message !== "" && <p className={of.fresh ? "muted" : "warn"}>{of.message}</p>}
      <table className="simple">
        <thead><tr><th scope="col">{text.shard}</th><th scope="col" className="number">{text.records}</th><th scope="col" className="number">{text.behind}</th></tr></thead>
        <tbody>{Object.entries(of.shards).map(([number_, shard]) => (
          <tr key={number_}><td>{number_}</td><td className="number">{exact(shard.recordsBehind)}</td><td className="number">{seconds(shard.behindSeconds)}</td></tr>
        ))}</tbody>
      </table>
    </section>
  );
}

function Roles({ of: { roles } }: { of: Schemas["StatusAnswer"] }) {
  return (
    <section className="card card-body">
      <h2>{text.roles}</h2>
      <table className="simple">
        <thead><tr><th scope="col">{text.role}</th><th scope="col">{text.version}</th><th scope="col">{text.state}</th></tr></thead>
        <tbody>{roles.map((role) => (
          <tr key={`${role.role} ${role.metrics ?? ""}`}><td>{role.role}</td><td>{role.version}</td><td className={role.answers ? "" : "bad"}>{role.answers ? `✓ ${text.answers}` : `✕ ${text.silent}`}</td></tr>
        ))}</tbody>
      </table>
    </section>
  );
}

function Counts({ of, all }: { of: Schemas["StatusCount"][]; all: boolean }) {
  const [withZero, showZero] = useState(false);
  const some = of.filter(({ count }) => count > 0);
  const zero = of.length - some.length;
  return (
    <section className="card card-body" title={SOURCE}>
      <h2>{text.counts}</h2>
      {some.every(({ kind }) => kind === "corrected") && <p className="muted">{all ? text.nothingLost : text.nothingKnownLost}</p>}
      <div className="table-scroll" tabIndex={0} role="region" aria-label={text.counts}>
        <table className="simple">
          <thead><tr><th scope="col" className="number">{text.count}</th><th scope="col">{text.explanation}</th><th scope="col">{text.what}</th><th scope="col">{text.role}</th></tr></thead>
          <tbody>{(withZero ? of : some).map((each) => (
            <tr key={`${each.role} ${each.name} ${each.about}`}>
              <td className="number">{exact(each.count)}</td><td className="wrap said">{each.explanation}</td>
              <td className={each.kind === "corrected" ? "" : "warn"}>{text.kinds[each.kind]}</td><td title={`${each.name}{${each.about}}\n${SOURCE}`}>{each.role}</td>
            </tr>
          ))}</tbody>
        </table>
      </div>
      {zero > 0 && !withZero && <p className="small muted">{text.zero(zero)} <button type="button" className="link" onClick={() => showZero(true)}>{text.showZero}</button></p>}
    </section>
  );
}

function Documents() {
  const links = [["/api/docs", text.api], ["/api/v1/openapi.json", text.openapi], ["/graphql", text.graphql], ["/metrics", text.metrics]] as const;
  return (
    <section className="card card-body">
      <h2>{text.documents}</h2>
      <ul className="plain documents">{links.map(([to, name]) => <li key={to}><a href={to} target="_blank" rel="noreferrer">{name}</a></li>)}</ul>
    </section>
  );
}
