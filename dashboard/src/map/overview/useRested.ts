import { useEffect, useState } from "react";

/** The last value that stayed the same for so long; the first one at once. */
export function useRested<T>(value: T, ms: number): T {
  const [rested, rest] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => rest(value), ms);
    return () => clearTimeout(timer);
  }, [value, ms]);
  return rested;
}
