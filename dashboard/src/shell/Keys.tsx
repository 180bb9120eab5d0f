import { useEffect, useRef, useState } from "react";
import { Dialog } from "../parts/Dialog";
import { go, toView } from "../url/address";
import { words } from "../words";
import { Jump } from "./Jump";
import { VIEWS } from "./Rail";

/** How long a `g` waits for its second key. */
const CHORD_MS = 1_200;
/** What stands between the names of keys. */
const BETWEEN = ["or", "then"];

/** What keys do wherever the focus is, unless somebody types. */
export function Keys() {
  const [shown, show] = useState<"keys" | "jump" | null>(null);
  const goes = useRef(-Infinity);
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if ((event.metaKey || event.ctrlKey) && event.key.toLowerCase() === "k") {
        event.preventDefault();
        show("jump"); return;
      }
      if (event.metaKey || event.ctrlKey || event.altKey || isTyping(event.target)) return;
      if (event.timeStamp - goes.current < CHORD_MS) {
        goes.current = -Infinity;
        toViewOf(event.key); return;
      }
      if (event.key === "g") goes.current = event.timeStamp;
      else if (event.key === "?") show("keys");
      else if (event.key === "/") focus(event);
      else if (event.key === "p") document.querySelector<HTMLElement>("[data-pause]")?.click();
      else if (event.key === "Escape") escape();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
  const close = () => show(null);
  if (shown === "jump") return <Jump onClose={close} />;
  return shown === "keys" && (
    <Dialog title={words.keys.title} onClose={close}>
      <h2>{words.keys.title}</h2>
      <dl className="keys">{words.keys.list.map(([key, what]) => <div key={key}><dt>{key.split(" ").map((part) => (BETWEEN.includes(part) ? part : <kbd key={part}>{part}</kbd>))}</dt><dd>{what}</dd></div>)}</dl>
    </Dialog>
  );
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || ["INPUT", "SELECT", "TEXTAREA"].includes(target.tagName));
}

function toViewOf(key: string) {
  const view = VIEWS.find((each) => each.key === key);
  if (view) go(toView(view.path, new URLSearchParams(location.search)));
}

/** Closes one thing at a time: what has opened stands behind what it was opened from. */
function escape() {
  [...document.querySelectorAll<HTMLElement>("[data-escape]")].at(-1)?.click();
}

function focus(event: KeyboardEvent) {
  const filter = document.querySelector<HTMLInputElement>("[data-filter]");
  if (filter === null) return;
  event.preventDefault();
  filter.focus();
  filter.select();
}
