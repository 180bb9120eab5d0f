import { useState } from "react";

/** More than so many nodes are shown by namespace, or drawn as an overview. */
const FEW = 150;
/** So many calls drawn one by one hide the few boxes between them. */
const FEW_CALLS = 450;

/** Whether there are too many, or were while the same was looked at: about the limit a map must not become another one and back. */
export function useIsLarge(nodes: number, of: string, edges = 0): boolean {
  const [large, found] = useState<string | null>(null);
  const isLarge = nodes > FEW || edges > FEW_CALLS;
  if (isLarge && large !== of) found(of);
  return isLarge || large === of;
}
