import { A } from "../url/A";

/** A single flow on a chart, and where it leads. */
export interface Dot {
  step: number;
  value: number;
  isFailed: boolean;
  title: string;
  href: string;
}

/** They lie over the chart, which is one picture for screen readers and the keyboard; what they lead to, Enter leads to as well. */
export function Dots({ of, x, y, width, height }: { of: Dot[]; x: (step: number) => number; y: (value: number) => number; width: number; height: number }) {
  return (
    <svg className="exemplars" width={width} height={height} aria-hidden="true">
      {of.map(({ step, value, isFailed, title, href }) => (
        <A key={href} href={href} tabIndex={-1}><path className={isFailed ? "failed" : ""} d={shape(x(step), y(value), isFailed)}><title>{title}</title></path></A>
      ))}
    </svg>
  );
}

/** What is above the axis shows the way it went; the failed ones have corners. */
function shape(x: number, y: number, isFailed: boolean): string {
  if (y < 0) return `M${x - 3.5} 7l3.5 -6 3.5 6z`;
  return isFailed ? `M${x} ${y - 3.5}l3.5 3.5 -3.5 3.5 -3.5 -3.5z` : `M${x - 2.4} ${y}a2.4 2.4 0 1 0 4.8 0a2.4 2.4 0 1 0 -4.8 0z`;
}
