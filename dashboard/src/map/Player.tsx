import { useCallback, useEffect, useRef, useState } from "react";
import { api, queries } from "../api/client";
import { clock } from "../format/time";
import { graphQuery, useLook } from "../look";
import { Icon } from "../parts/Icon";
import { set } from "../url/address";
import { words } from "../words";
import type { Group } from "./choice";
import { ENDED, inAddress, stepOf, stepsOf, timeOf, type Replay } from "./replay";
import { groupQuery } from "./useMapGraph";

/** Steps a second. */
const SPEEDS = [1, 2, 5];

/** Plays the steps of a replay, or goes to one of them. A step is shown once its figures are there. */
export function Player({ replay, group }: { replay: Replay; group: Group }) {
  const { filters: { time }, graph: { window } } = useLook();
  const load = useLoad(replay, group);
  const [plays, play] = useState(false);
  const [speed, hasten] = useState(1);
  /** Where the slider is before its figures are. */
  const [wanted, want] = useState<number | null>(null);
  const asked = useRef<number | null>(null);
  const [now, last] = [stepOf(replay, time), stepsOf(replay) - 1];
  const isPlaying = plays && now < last;
  useEffect(() => {
    if (!isPlaying) return;
    let isMeant = true;
    const loaded = load(now + 1);
    const timer = setTimeout(() => void loaded.then(() => isMeant && show(replay, now + 1)), 1000 / speed);
    return () => {
      isMeant = false;
      clearTimeout(timer);
    };
  }, [isPlaying, now, speed, load, replay]);
  const goTo = (step: number) => {
    asked.current = step;
    want(step);
    void load(step).then(() => {
      if (asked.current !== step) return;
      show(replay, step);
      want(null);
    });
  };
  const toggle = () => {
    play(!isPlaying);
    if (!isPlaying && now === last) goTo(0);
  };
  const { player } = words;
  const at = timeOf(replay, wanted ?? now);
  return (
    <div className="player" role="group" aria-label={player.title}>
      <button type="button" data-pause="" onClick={toggle}><span className="with-icon"><Icon name={isPlaying ? "pause" : "play"} size={13} />{isPlaying ? player.pause : player.play}</span></button>
      <input type="range" min={0} max={last} value={wanted ?? now} aria-label={player.moment} aria-valuetext={player.window(clock(at.from), clock(at.to))}
        onChange={(event) => {
          play(false);
          goTo(Number(event.target.value));
        }} />
      <span className="player-words"><b>{player.past}</b> {window && player.window(clock(window.from), clock(window.to))}</span>
      <label className="field"><span className="field-name">{player.speed}</span>
        <select value={speed} onChange={(event) => hasten(Number(event.target.value))}>{SPEEDS.map((each) => <option key={each} value={each}>{player.times(each * 10)}</option>)}</select>
      </label>
      <button type="button" onClick={() => set(ENDED)}>{player.end}</button>
    </div>
  );
}

/** The back button leads past all steps but the first. */
const show = (replay: Replay, step: number) => set(inAddress(replay, step), { replace: true });

/** Asks for a step as the map will, so that it then has it at once. */
function useLoad(replay: Replay, group: Group) {
  const { filters } = useLook();
  // Only their time changes from step to step, and that is not asked for here.
  const others = JSON.stringify({ ...filters, time: null });
  return useCallback(async (step: number) => {
    const asked: typeof filters = { ...(JSON.parse(others) as typeof filters), time: timeOf(replay, step) };
    // What can't be had is told by the map.
    await Promise.allSettled([
      queries.query(api.queryOptions("get", "/api/v1/graph", { params: { query: graphQuery(asked) } })),
      group !== "none" && queries.query(api.queryOptions("get", "/api/v1/dependencies", { params: { query: groupQuery(asked, group) } })),
    ]);
  }, [others, replay, group]);
}
