import { useEffect, useState } from "react";

/** How wide the element is; 0 before it is in the document. */
export function useWidth(): [(element: HTMLElement | null) => void, number] {
  const [element, hold] = useState<HTMLElement | null>(null);
  const [width, measure] = useState(0);
  useEffect(() => {
    if (element === null) return;
    const observer = new ResizeObserver(() => measure(element.clientWidth));
    observer.observe(element);
    return () => observer.disconnect();
  }, [element]);
  return [hold, width];
}
