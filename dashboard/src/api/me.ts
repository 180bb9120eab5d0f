import { useQuery } from "@tanstack/react-query";

/** Who the reader is, and what they may know of. It stands in docs/access.md, not in the OpenAPI document. */
export interface Me {
  who: string;
  role: "viewer" | "analyst" | "admin";
  environments: string[] | null;
  namespaces: string[] | null;
  canLogOut: boolean;
}

async function ask(): Promise<Me> {
  const answer = await fetch("/auth/me");
  if (!answer.ok) throw new Error(String(answer.status));
  return (await answer.json()) as Me;
}

export const useMe = () => useQuery({ queryKey: ["me"], queryFn: ask, staleTime: Infinity });

/** Single flows tell of people: they are shown to analysts and admins. */
export function useMaySeeFlows(): boolean {
  const me = useMe();
  return me.data === undefined || me.data.role !== "viewer";
}
