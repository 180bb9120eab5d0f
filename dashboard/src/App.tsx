import { QueryClientProvider } from "@tanstack/react-query";
import { lazy, Suspense, useEffect, type ComponentType } from "react";
import { queries } from "./api/client";
import { useSession } from "./api/session";
import { Looking, useLook } from "./look";
import { Boundary, Loading, Nothing, Unloaded } from "./parts/States";
import { Cards } from "./shell/Cards";
import { Keys } from "./shell/Keys";
import { Rail } from "./shell/Rail";
import { LoggedOut, Session } from "./shell/Session";
import { TopBar } from "./shell/TopBar";
import { useAddress } from "./url/address";
import { words } from "./words";

/** What doesn't arrive isn't asked for again by itself: only a new page knows the files of a server that has been updated. */
function view(load: () => Promise<ComponentType>) {
  const loaded = () => load().catch(() => Unloaded);
  return { load: loaded, View: lazy(async () => ({ default: await loaded() })) };
}

/** Whether the headline stands above: it is about flows, so not above what is about one flow or none. */
interface Route {
  begins: string;
  title: string;
  load: () => Promise<unknown>;
  View: ComponentType;
  hasCards: boolean;
}

const ROUTES: Route[] = [
  { begins: "/operations", title: words.views.operations, hasCards: true, ...view(async () => (await import("./views/Operations")).OperationsView) },
  { begins: "/live", title: words.views.live, hasCards: true, ...view(async () => (await import("./views/live/LiveView")).LiveView) },
  { begins: "/errors", title: words.views.errors, hasCards: true, ...view(async () => (await import("./views/errors/ErrorsView")).ErrorsView) },
  { begins: "/compare", title: words.views.compare, hasCards: true, ...view(async () => (await import("./views/compare/CompareView")).CompareView) },
  { begins: "/flows", title: words.flow.title, hasCards: false, ...view(async () => (await import("./views/flow/FlowView")).FlowView) },
  { begins: "/status", title: words.views.status, hasCards: false, ...view(async () => (await import("./views/Status")).StatusView) },
  { begins: "/settings", title: words.views.settings, hasCards: false, ...view(async () => (await import("./views/Settings")).SettingsView) },
];
const MAP: Route = { begins: "/", title: words.views.map, hasCards: true, ...view(async () => (await import("./map/MapView")).MapView) };

export function App() {
  if (useSession() === "left") return <LoggedOut />;
  return (
    <QueryClientProvider client={queries}>
      <Looking>
        <a className="skip" href="#content">{words.skip}</a>
        <div className="shell">
          <Rail />
          <div className="above"><Session /><TopBar /></div>
          <main id="content" tabIndex={-1}><View /></main>
        </div>
        <Keys />
      </Looking>
    </QueryClientProvider>
  );
}

function View() {
  const { path } = useAddress();
  const route = path === "/" ? MAP : ROUTES.find(({ begins }) => path === begins || path.startsWith(`${begins}/`));
  const { isReady } = useLook();
  useEffect(() => {
    document.title = route === undefined ? words.product : `${route.title} · ${words.product}`;
    // While it is found out what to look at.
    void route?.load();
  }, [route]);
  if (route === undefined) return <Nothing>{words.notFound}</Nothing>;
  const { View: Shown, hasCards } = route;
  // Until it is known what is looked at, a view would ask about all environments.
  if (hasCards && !isReady) return <Loading />;
  return (
    <Boundary key={route.begins}>
      {hasCards && <Cards />}
      <Suspense fallback={<Loading />}><Shown /></Suspense>
    </Boundary>
  );
}
