import { useEffect, useState } from "react";
import { onSessionEnd } from "../api/client";
import { words } from "../words";

/** Says that the session has ended, and leaves what is on the screen. */
export function Session() {
  const [ended, end] = useState(false);
  useEffect(() => {
    const stop = onSessionEnd(() => end(true));
    return () => void stop();
  }, []);
  if (!ended) return null;
  return (
    <div className="banner" role="alert">
      <strong>{words.session.ended}</strong> {words.session.whatWorks}
      <a className="button" href={`/auth/login?next=${encodeURIComponent(location.pathname + location.search)}`}>{words.session.again}</a>
    </div>
  );
}
