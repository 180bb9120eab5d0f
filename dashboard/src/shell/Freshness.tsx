import { isProblem } from "../api/client";
import { address } from "../api/how";
import { moment } from "../format/time";
import { useLook, type Look } from "../look";
import { useMapChoice } from "../map/choice";
import { useGroup, useMapGraph } from "../map/useMapGraph";
import { Call } from "../parts/How";
import { Menu } from "../parts/Menu";
import { useAddress } from "../url/address";
import { words } from "../words";

type Light = "waiting" | "live" | "past" | "stale" | "lost";

/** How current what is shown is: a light, always with words, and the whole truth shard by shard behind it. */
export function Freshness() {
  const look = useLook();
  const group = useGroup(useMapChoice());
  // Only the map is of groups.
  const { graph, error } = useMapGraph(useAddress().path === "/" ? group : "none");
  const [light, text] = said({ ...look, graph, error });
  const { staleness } = graph;
  const shards = Object.entries(staleness?.shards ?? {}).filter(([, { message }]) => message !== "");
  return (
    <Menu className="freshness" title={words.fresh.details} label={
      // That it goes on being live, a second later, is nothing to be read out.
      <span className="light-words" role="status" aria-live={light === "live" ? "off" : "polite"} data-light={light} id="freshness"><i className="light" />{text}</span>
    }>
      {() => (
        <div className="stack">
          <h3>{words.fresh.details}</h3>
          <p>{staleness?.message ?? text}</p>
          <ul className="plain">
            {shards.map(([number, { message }]) => <li key={number}>{words.fresh.shard(number, message)}</li>)}
            {shards.length === 0 && staleness?.fresh && <li>{words.fresh.allWell}</li>}
          </ul>
          {staleness?.stored && <p className="muted">{staleness.stored.message}</p>}
          <Call title={words.how.freshness} url={address("/api/v1/status")} />
        </div>
      )}
    </Menu>
  );
}

function said({ connection, graph: { staleness, asOf }, isLive, error }: Look): [Light, string] {
  const { fresh } = words;
  if (connection.state === "lost") return ["lost", fresh.lost];
  if (connection.state === "refused") return ["lost", connection.message];
  if (error != null) return ["lost", isProblem(error) ? fresh.refused : fresh.away];
  if (staleness === null) return ["waiting", isLive ? fresh.connecting : fresh.asking];
  if (!staleness.fresh) return ["stale", capital(staleness.message || fresh.stale)];
  if (!isLive) return ["past", fresh.upTo(moment(asOf))];
  return [staleness.behindSeconds === null ? "waiting" : "live", capital(staleness.message)];
}

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);
