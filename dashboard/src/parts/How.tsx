import { useState } from "react";
import { curl } from "../api/how";
import { words } from "../words";
import { Icon } from "./Icon";
import { Menu } from "./Menu";

export function Copy({ text, label = words.copy }: { text: string; label?: string }) {
  const [done, say] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    say(true);
    setTimeout(() => say(false), 1500);
  };
  return <button type="button" onClick={() => void copy()}>{done ? words.how.copied : label}</button>;
}

/** "How did we get this": the call that gives the numbers beside it. */
export function How({ url }: { url: string }) {
  return (
    <Menu className="how" title={words.how.button} label={<><Icon name="info" size={14} /><span className="unseen">{words.how.button}</span></>}>
      {() => (
        <div className="stack">
          <h3>{words.how.call}</h3>
          <pre>{curl(url)}</pre>
          <div className="row"><Copy text={curl(url)} /><a href={url} target="_blank" rel="noreferrer">JSON</a></div>
        </div>
      )}
    </Menu>
  );
}
