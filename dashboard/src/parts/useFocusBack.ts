import { useLayoutEffect, type RefObject } from "react";

/** What had the focus before gets it back when the box goes and would take it along. */
export function useFocusBack(box: RefObject<HTMLElement | null>) {
  useLayoutEffect(() => {
    const [before, shown] = [document.activeElement, box.current];
    return () => {
      if (shown?.contains(document.activeElement) && (before instanceof HTMLElement || before instanceof SVGElement)) before.focus({ preventScroll: true });
    };
  }, [box]);
}
