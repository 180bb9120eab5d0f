import { useQuery } from "@tanstack/react-query";
import { heard } from "./session";

/** Who the reader is, and what they may know of. It stands in docs/access.md, not in the OpenAPI document. */
export interface Me {
  who: string;
  /** What people call them; "" where the provider doesn't say. */
  name: string;
  role: "viewer" | "analyst" | "admin";
  environments: string[] | null;
  namespaces: string[] | null;
  canLogOut: boolean;
}

async function ask(): Promise<Me> {
  const answer = await fetch("/auth/me");
  heard(answer);
  if (!answer.ok) throw new Error(String(answer.status));
  return (await answer.json()) as Me;
}

export const useMe = () => useQuery({ queryKey: ["me"], queryFn: ask, staleTime: Infinity });

/** Single flows tell of people: they are shown to analysts and admins. undefined until it is known who asks. */
export function useMaySeeFlows(): boolean | undefined {
  const { data, isError } = useMe();
  return data === undefined && !isError ? undefined : data?.role !== "viewer";
}
