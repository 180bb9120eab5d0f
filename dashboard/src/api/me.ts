import { api } from "./client";

/** Who the reader is, and what they may know of. */
export const useMe = () => api.useQuery("get", "/auth/me", {}, { staleTime: Infinity });

/** Single flows tell of people: they are shown to analysts and admins. undefined until it is known who asks. */
export function useMaySeeFlows(): boolean | undefined {
  const { data, isError } = useMe();
  return data === undefined && !isError ? undefined : data?.role !== "viewer";
}
