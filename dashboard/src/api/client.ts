// The API's client: its types are made of the checked-in OpenAPI document.

import { QueryClient } from "@tanstack/react-query";
import createClient from "openapi-fetch";
import createHooks from "openapi-react-query";
import type { components, paths } from "./schema";
import { heard } from "./session";

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

export const client = createClient<paths>({ baseUrl: location.origin, fetch: (request) => fetch(request) });
client.use({
  onResponse: ({ response }) => heard(response),
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
