import { useState } from "react";

/** More than so many nodes are shown by namespace, or drawn as an overview. */
const FEW = 150;

/** Whether there are too many nodes, or were while the same was looked at: about the limit a map must not become another one and back. */
export function useIsLarge(nodes: number, of: string): boolean {
  const [large, found] = useState<string | null>(null);
  const isLarge = nodes > FEW;
  if (isLarge && large !== of) found(of);
  return isLarge || large === of;
}
