import { operationName } from "../format/names";
import { useLook, type Past } from "../look";
import { Copy } from "../parts/How";
import { Loading, Refused } from "../parts/States";
import { set } from "../url/address";
import { EVERYWHERE } from "../url/filters";
import { words } from "../words";
import type { MapChoice } from "./choice";

/** Nothing to draw: why, and what to do about it. */
export function Empty({ of: { graph, error, again }, only }: { of: Past; only: MapChoice["only"] }) {
  const { known, filters } = useLook();
  if (error != null && !graph.loaded) return <Refused error={error} again={again} />;
  if (!graph.loaded) return <Loading />;
  if (graph.staleness?.loadedFrom === "none") return <Loading what={words.empty.loadingLive} />;
  if (only !== "" && graph.nodes.size > 0) return <Well only={only} />;
  const elsewhere = known?.operations.some((each) => !each.probe) ?? false;
  return elsewhere ? <Elsewhere operation={filters.operation} environment={filters.environment} /> : <First />;
}

function Well({ only }: { only: "degraded" | "down" }) {
  return <div className="empty"><h2>{words.map.onlyNone[only]}</h2><button type="button" onClick={() => set({ only: null })}>{words.empty.showAll}</button></div>;
}

function Elsewhere({ operation, environment }: { operation: string; environment: string }) {
  const { empty } = words;
  const what = [operation === "" ? "" : empty.ofOperation(operationName(operation)), environment === "" ? "" : empty.inEnvironment(environment)].filter((part) => part !== "");
  return (
    <div className="empty">
      <h2>{empty.nothingHere}</h2>
      <p>{empty.elsewhere(what.join(" "))}</p>
      <button type="button" onClick={() => set({ operation: null, environment: EVERYWHERE, service: null, namespace: null, cluster: null, live: "15m", window: null, startTime: null, endTime: null })}>{empty.showAll}</button>
    </div>
  );
}

function First() {
  const { empty } = words;
  const at = `http://${location.hostname}:4318`;
  const settings = [`export OTEL_EXPORTER_OTLP_ENDPOINT=${at}`, "export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", "export OTEL_SERVICE_NAME=checkout"].join("\n");
  return (
    <div className="empty">
      <h2>{empty.first}</h2>
      <p>{empty.firstWords}</p>
      <Snippet title={empty.firstSpan} text={firstSpan(at)} />
      <Snippet title={empty.firstService} text={settings} />
      <p className="muted">{empty.elsewhereIngest}</p>
      <p className="muted">{empty.demo}</p>
    </div>
  );
}

function Snippet({ title, text }: { title: string; text: string }) {
  return (
    <>
      <h3>{title}</h3>
      <pre tabIndex={0}>{text}</pre>
      <Copy text={text} />
    </>
  );
}

/** A flow of one span that has just ended, as any POSIX shell with curl can send it; another one each second. */
function firstSpan(at: string): string {
  return `now=$(date +%s)
curl ${at}/v1/traces -H 'content-type: application/json' -d '{"resourceSpans": [{
  "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "hello"}}]},
  "scopeSpans": [{"spans": [{
    "name": "GET /hello", "kind": 2, "traceId": "'$(printf %032x $now)'", "spanId": "'$(printf %016x $now)'",
    "startTimeUnixNano": "'$((now - 1))'900000000", "endTimeUnixNano": "'$now'000000000"
  }]}]
}]}'`;
}
