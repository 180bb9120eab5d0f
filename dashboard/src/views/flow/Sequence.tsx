import { useRef } from "react";
import { useVirtualizer } from "@tanstack/react-virtual";
import { plain } from "../../format/names";
import { duration } from "../../format/numbers";
import { words } from "../../words";
import { story, type Call, type Sentence } from "./story";

const { flow: text } = words;

interface Props {
  of: Call[];
  name: (id: string) => string;
  selected: string;
  onSelect: (span: string) => void;
}

/** The numbered calls, nested, as people would tell them. */
export function Sequence({ of, name, selected, onSelect }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const told = story(of);
  // eslint-disable-next-line react-hooks/incompatible-library -- its functions are used here only.
  const virtual = useVirtualizer({ count: told.length, getScrollElement: () => box.current, estimateSize: () => 58, overscan: 10, initialRect: { width: 500, height: 560 } });
  return (
    <div className="story" ref={box} tabIndex={0} role="region" aria-label={text.sequence}>
      <ol className="plain" ref={(list) => { if (list) list.style.height = `${virtual.getTotalSize()}px`; }}>
        {virtual.getVirtualItems().map(({ index, start }) => {
          const sentence = told[index];
          return sentence && (
            <li key={index} data-index={index} ref={(item) => {
              if (item === null) return;
              virtual.measureElement(item);
              item.style.transform = `translateY(${start}px)`;
              item.style.setProperty("--depth", String(Math.min(sentence.call.depth, 12)));
            }}>
              <button type="button" className={`bare ${sentence.call.status === "ERROR" ? "failed" : ""}`} aria-pressed={sentence.call.spanId === selected} onClick={() => onSelect(sentence.call.spanId)}>
                <Told of={sentence} name={name} />
              </button>
            </li>
          );
        })}
      </ol>
    </div>
  );
}

function Told({ of: { call, longest, own }, name }: { of: Sentence; name: (id: string) => string }) {
  const [from, to] = [call.from, call.to].map((id) => (id == null ? "" : name(id)));
  const more = [
    longest?.to != null && longest.to !== call.to ? text.waiting(duration(longest.duration), name(longest.to)) : "",
    own === null ? "" : text.own(duration(own)), call.pod === "" ? "" : text.inPod(plain(call.pod)),
  ].filter((part) => part !== "");
  return (
    <>
      <span className="told"><span className="muted">{call.number}.</span> <b>{to || from}</b> <span className="mono">{call.name}</span><span className="took">{call.status === "ERROR" && <span className="bad" title={words.chart.failed}>✕ </span>}{duration(call.duration)}</span></span>
      <span className="small muted">{[from && to ? text.calls(from, to) : "", ...more].filter((part) => part !== "").join(", ")}</span>
    </>
  );
}
