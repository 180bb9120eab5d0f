import { Icon, type IconName } from "../parts/Icon";
import { A } from "../url/A";
import { toView, useAddress } from "../url/address";
import { words } from "../words";

export const VIEWS: { path: string; name: Exclude<IconName, "service"> & keyof typeof words.views; key: string }[] = [
  { path: "/", name: "map", key: "m" },
  { path: "/operations", name: "operations", key: "o" },
  { path: "/live", name: "live", key: "l" },
  { path: "/errors", name: "errors", key: "e" },
  { path: "/compare", name: "compare", key: "c" },
  { path: "/status", name: "status", key: "s" },
];

export function Rail() {
  const { path, query } = useAddress();
  return (
    <nav className="rail" aria-label={words.rail}>
      <span className="brand" aria-hidden="true"><Logo /></span>
      {VIEWS.map((view) => (
        <A key={view.path} href={toView(view.path, query)} aria-current={isHere(view.path, path) ? "page" : undefined}>
          <Icon name={view.name} size={18} />
          <span>{words.views[view.name]}</span>
        </A>
      ))}
    </nav>
  );
}

const isHere = (view: string, path: string) => (view === "/" ? path === "/" : path.startsWith(view));

function Logo() {
  return (
    <svg width="26" height="26" viewBox="0 0 32 32">
      <rect className="logo-ground" width="32" height="32" rx="7" />
      <path className="logo-water" d="M5 12c4 0 5-3 9-3s5 3 9 3h4M5 20c3 0 4-3 7-3s5 6 9 6h6" />
    </svg>
  );
}
