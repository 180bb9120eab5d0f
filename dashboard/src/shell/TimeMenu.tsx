import { useState } from "react";
import { fromInput, moment, toInput } from "../format/time";
import { useLook } from "../look";
import { REPLAYS, inAddress, lastMinutes } from "../map/replay";
import { Menu } from "../parts/Menu";
import { go, set, toView, useAddress } from "../url/address";
import { LAST_WINDOWS, LIVE_WINDOWS, seconds, timeInAddress, type Time } from "../url/filters";
import { words } from "../words";

export function timeWords(time: Time): string {
  if (time.kind === "between") return `${moment(time.from)} – ${moment(time.to)}`;
  const window = words.time.windows[time.window] ?? time.window;
  return time.kind === "live" ? words.time.live(window) : words.time.last(window);
}

export function TimeMenu({ time }: { time: Time }) {
  return (
    <Menu className="field" label={<><span className="field-name">{words.filters.time}</span><b>{timeWords(time)}</b></>}>
      {(close) => <Choices time={time} close={close} />}
    </Menu>
  );
}

function Choices({ time, close }: { time: Time; close: () => void }) {
  const choose = (chosen: Time) => {
    set(timeInAddress(chosen));
    close();
  };
  const choice = (kind: "live" | "last") => (window: string) => (
    <button key={window} type="button" aria-pressed={time.kind === kind && time.window === window} onClick={() => choose({ kind, window })}>
      {words.time.windows[window]}
    </button>
  );
  return (
    <div className="stack times">
      <h3>{words.time.liveGroup}</h3>
      <div className="windows">{LIVE_WINDOWS.map(choice("live"))}</div>
      <h3>{words.time.lastGroup}</h3>
      <div className="windows">{LAST_WINDOWS.map(choice("last"))}</div>
      <h3>{words.time.replay}</h3>
      <Replays time={time} close={close} />
      <h3>{words.time.between}</h3>
      <Between time={time} choose={choose} />
    </div>
  );
}

/** On the map, from whichever view. */
function Replays({ time, close }: { time: Time; close: () => void }) {
  const { graph: { window } } = useLook();
  const { path, query } = useAddress();
  const [now] = useState(() => Date.now() * 1000);
  const begin = (length: (typeof REPLAYS)[number]) => {
    // Of a past time, what is replayed are still the last minutes of all.
    const changes = inAddress(lastMinutes(length, time.kind === "between" || window === null ? now : window.to), 0);
    if (path === "/") set(changes);
    else go(toView("/", query, changes));
    close();
  };
  return <div className="windows replays">{REPLAYS.map((length) => <button key={length} type="button" onClick={() => begin(length)}>{words.time.last(words.time.windows[length] ?? length)}</button>)}</div>;
}

function Between({ time, choose }: { time: Time; choose: (time: Time) => void }) {
  const [now] = useState(() => Date.now() * 1000);
  const shown = time.kind === "between" ? time : { from: now - seconds(time) * 1e6, to: now };
  const [from, setFrom] = useState(toInput(shown.from));
  const [to, setTo] = useState(toInput(shown.to));
  const chosen: Time = { kind: "between", from: fromInput(from), to: fromInput(to) };
  const isRight = chosen.from < chosen.to;
  return (
    <form className="between" onSubmit={(event) => {
      event.preventDefault();
      if (isRight) choose(chosen);
    }}>
      <label>{words.time.from}<input type="datetime-local" step="1" value={from} onChange={(event) => setFrom(event.target.value)} /></label>
      <label>{words.time.to}<input type="datetime-local" step="1" value={to} onChange={(event) => setTo(event.target.value)} /></label>
      {!isRight && <p className="bad" role="alert">{words.time.wrong}</p>}
      <button type="submit" disabled={!isRight}>{words.time.show}</button>
    </form>
  );
}
