import { QueryClientProvider } from "@tanstack/react-query";
import { lazy, Suspense } from "react";
import { queries } from "./api/client";
import { Looking } from "./look";
import { Boundary, Loading, Nothing } from "./parts/States";
import { Cards } from "./shell/Cards";
import { Rail } from "./shell/Rail";
import { TopBar } from "./shell/TopBar";
import { useAddress } from "./url/address";
import { words } from "./words";

const MapView = lazy(async () => ({ default: (await import("./map/MapView")).MapView }));

export function App() {
  return (
    <QueryClientProvider client={queries}>
      <Looking>
        <a className="skip" href="#content">{words.skip}</a>
        <div className="shell">
          <Rail />
          <TopBar />
          <main id="content" tabIndex={-1}>
            <Boundary><Suspense fallback={<Loading />}><View /></Suspense></Boundary>
          </main>
        </div>
      </Looking>
    </QueryClientProvider>
  );
}

function View() {
  const { path } = useAddress();
  if (path === "/") return <><Cards /><MapView /></>;
  return <Nothing>{words.notFound}</Nothing>;
}
