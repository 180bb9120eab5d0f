import { useState } from "react";
import { curl } from "../api/how";
import { words } from "../words";
import { Icon } from "./Icon";
import { Menu } from "./Menu";

export function Copy({ text, label = words.copy }: { text: string; label?: string }) {
  const [done, say] = useState(false);
  const copy = async () => {
    await toClipboard(text);
    say(true);
    setTimeout(() => say(false), 1500);
  };
  return <button type="button" onClick={() => void copy()}>{done ? words.how.copied : label}</button>;
}

/** Browsers have the clipboard for secure pages only; on others there is the old way. */
async function toClipboard(text: string) {
  if (window.isSecureContext) return navigator.clipboard.writeText(text);
  const [before, box] = [document.activeElement, Object.assign(document.createElement("textarea"), { value: text })];
  before?.after(box);
  box.select();
  // eslint-disable-next-line @typescript-eslint/no-deprecated -- there is no other way.
  document.execCommand("copy");
  box.remove();
  if (before instanceof HTMLElement) before.focus();
}

interface Asked {
  title?: string;
  /** What can be asked for by its address alone. */
  url?: string;
  command?: string;
}

/** A call as anybody can make it again. */
export function Call({ title = words.how.call, url = "", command = curl(url) }: Asked) {
  return (
    <>
      <h3>{title}</h3>
      <pre tabIndex={0}>{command}</pre>
      <div className="row"><Copy text={command} />{url !== "" && <a href={url} target="_blank" rel="noreferrer">{words.how.open}</a>}</div>
    </>
  );
}

/** "How did we get this": the call that gives the numbers beside it, and others that some of them need. */
export function How({ also = [], ...of }: Asked & { also?: Asked[] }) {
  return (
    <Menu className="how" title={words.how.button} label={<><Icon name="info" size={14} /><span className="unseen">{words.how.button}</span></>}>
      {() => <div className="stack"><Call {...of} />{also.map((each) => <Call key={each.title} {...each} />)}</div>}
    </Menu>
  );
}
