const PATHS = {
  map: "M2 8h4M10 4H8v8h2M6 6v4M10 2.5h4v3h-4zM10 10.5h4v3h-4zM2 6.5h4v3H2z",
  operations: "M2 4h12M2 8h12M2 12h8",
  live: "M1.5 8h3l2-5 3 10 2-5h3",
  errors: "M8 1.8 14.6 13.5H1.4zM8 6v3.5M8 11.6v.2",
  compare: "M6 2.5H2.5v11H6zM13.5 2.5H10v11h3.5zM8 1v14",
  status: "M8 14.2A6.2 6.2 0 1 1 8 1.8a6.2 6.2 0 0 1 0 12.4M5 8l2.2 2.2L11.2 6",
  settings: "M2 4.5h7M12.5 4.5H14M2 11.5h1.5M7 11.5h7M10.8 2.8v3.4M5.2 9.8v3.4",
  user: "M8 2.2A2.9 2.9 0 1 1 8 8 2.9 2.9 0 1 1 8 2.2M2.6 14C3 10.8 5 9.8 8 9.8S13 10.8 13.4 14",
  service: "M8 1.5 13.6 4.7V11.3L8 14.5 2.4 11.3V4.7Z",
  client: "M2 3H14V11.5H2ZM5.5 14H10.5M8 11.5V14",
  database: "M2.5 4C2.5 1.6 13.5 1.6 13.5 4V12C13.5 14.4 2.5 14.4 2.5 12ZM2.5 4C2.5 6.4 13.5 6.4 13.5 4M2.5 8C2.5 10.4 13.5 10.4 13.5 8",
  topic: "M2 4.5H10M2 8H10M2 11.5H10M12 5.5 14.5 8 12 10.5",
  external: "M8 1.8A6.2 6.2 0 1 1 8 14.2 6.2 6.2 0 1 1 8 1.8M1.8 8H14.2M8 1.8C4.5 5 4.5 11 8 14.2 11.5 11 11.5 5 8 1.8",
  unknown: "M5.3 5.6C5.3 1.8 10.9 1.9 10.8 5.3 10.7 7.4 8 7.4 8 9.8M8 13V13.2",
  namespace: "M2 5V2h3M11 2h3v3M14 11v3h-3M5 14H2v-3M5.5 5.5h5v5h-5z",
  cluster: "M2 2.5h5v5H2zM9 2.5h5v5H9zM2 9h5v5H2zM9 9h5v5H9z",
  edge: "M1.5 8h12M9.5 4l4 4-4 4",
  close: "M3.5 3.5l9 9M12.5 3.5l-9 9",
  search: "M7 12A5 5 0 1 1 7 2a5 5 0 0 1 0 10M10.6 10.6 14 14",
  plus: "M8 3v10M3 8h10", minus: "M3 8h10", fit: "M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4",
  pause: "M5 3v10M11 3v10", play: "M4 2.5 13 8l-9 5.5z", back: "M9.5 3 4.5 8l5 5", info: "M8 14.2A6.2 6.2 0 1 1 8 1.8a6.2 6.2 0 0 1 0 12.4M8 7.3v4M8 4.8V5",
};

export type IconName = keyof typeof PATHS;
export const iconOf = (kind: string): IconName => (kind in PATHS ? (kind as IconName) : "unknown");
export const iconPath = (kind: string) => PATHS[iconOf(kind)];

export function Icon({ name, size = 16 }: { name: IconName; size?: number }) {
  return (
    <svg className="icon" width={size} height={size} viewBox="0 0 16 16" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
