// The API's client: its types are made of the checked-in OpenAPI document.

import { QueryClient } from "@tanstack/react-query";
import createClient from "openapi-fetch";
import createHooks from "openapi-react-query";
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];
export type Node = Schemas["NodeAnswer"];
export type Edge = Schemas["EdgeAnswer"];
export type Staleness = Schemas["Staleness"];

/** What the API refuses with, or what kept it from answering. */
export interface Problem {
  status: number;
  title: string;
  detail: string;
  code: string;
}

const listeners = new Set<() => void>();
/** Calls back when an answer says that nobody knows the reader any more. */
export function onSessionEnd(listener: () => void) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export const client = createClient<paths>({ baseUrl: location.origin, fetch: (request) => fetch(request) });
client.use({
  onResponse({ response }) {
    if (response.status === 401) listeners.forEach((listener) => listener());
  },
});

export const api = createHooks(client);

export const queries = new QueryClient({
  defaultOptions: {
    queries: {
      // A refusal stays one; a server that is away may be back.
      retry: (failures, error) => !isProblem(error) && failures < 2,
      refetchOnWindowFocus: false,
      staleTime: 2_000,
    },
  },
});

export function isProblem(error: unknown): error is Problem {
  return typeof error === "object" && error !== null && "status" in error && "detail" in error;
}
