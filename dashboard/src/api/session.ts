// Whether the reader is still known to the server. Nobody logs in or out of one that asks nobody who they are.

import { useSyncExternalStore } from "react";

/** It ends by itself, or because the reader leaves. */
type Session = "lasts" | "ended" | "left";

let session: Session = "lasts";
const listeners = new Set<() => void>();

function tell(next: Session) {
  if (next === session || session === "left") return;
  session = next;
  listeners.forEach((listener) => listener());
}

function subscribe(listener: () => void) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** What the status of an answer says. Who has logged in elsewhere meanwhile is known again. */
export function heard({ status, ok }: Response) {
  if (status === 401) tell("ended");
  else if (ok) tell("lasts");
}

export async function logOut() {
  const answer = await fetch("/auth/logout", { method: "POST" });
  if (answer.ok) tell("left");
}

/** The way to the login and back to where one is. */
export const loginAddress = () => `/auth/login?next=${encodeURIComponent(location.pathname + location.search)}`;

export const useSession = () => useSyncExternalStore(subscribe, () => session);
