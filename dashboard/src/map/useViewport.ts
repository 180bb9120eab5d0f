// Where the map is looked at from: moved by dragging, nearer with the wheel and ctrl, whole until somebody moves it.

import { useCallback, useEffect, useState, type PointerEvent, type RefObject } from "react";

export interface Viewport {
  x: number;
  y: number;
  scale: number;
}

const [LEAST, MOST] = [0.08, 3];
/** Smaller than this nobody can read it: then a part is shown. */
const READABLE = 0.45;
const LARGEST_FIT = 1.15;

interface Size {
  width: number;
  height: number;
}

export function fit(size: Size, room: Size, least = READABLE): Viewport {
  const whole = Math.min(room.width / Math.max(1, size.width), room.height / Math.max(1, size.height), LARGEST_FIT);
  const scale = Math.max(whole, least);
  const centre = (all: number, shown: number) => (shown * scale < all ? (all - shown * scale) / 2 : 0);
  return { scale, x: centre(room.width, size.width), y: centre(room.height, size.height) };
}

/** Whether all of it is in sight. */
export const holds = ({ x, y, scale }: Viewport, size: Size, room: Size) => x + size.width * scale <= room.width && y + size.height * scale <= room.height;

/** The fit for the room, which stays while a map that grows has room in it. */
function useFit(size: Size, room: Size, least?: number): Viewport {
  const [fitted, keep] = useState({ room, size, view: fit(size, room, least) });
  const hasGrown = size.width >= fitted.size.width && size.height >= fitted.size.height;
  if (fitted.room === room && (fitted.size === size || (hasGrown && holds(fitted.view, size, room)))) return fitted.view;
  const view = fit(size, room, least);
  keep({ room, size, view });
  return view;
}

export function useViewport(box: RefObject<HTMLElement | null>, size: Size, least?: number) {
  const [room, measure] = useState<Size>({ width: 0, height: 0 });
  const [moved, move] = useState<Viewport | null>(null);
  const [drag, setDrag] = useState<{ x: number; y: number; from: Viewport } | null>(null);
  const fitted = useFit(size, room, least);
  const view = moved ?? fitted;

  useEffect(() => {
    const element = box.current;
    if (element === null) return;
    const observer = new ResizeObserver(() => measure({ width: element.clientWidth, height: element.clientHeight }));
    observer.observe(element);
    return () => observer.disconnect();
  }, [box]);

  const zoom = useCallback((factor: number, at = { x: room.width / 2, y: room.height / 2 }) => move((before) => {
    const from = before ?? fitted;
    const scale = Math.min(MOST, Math.max(LEAST, from.scale * factor));
    const ratio = scale / from.scale;
    return { scale, x: at.x - (at.x - from.x) * ratio, y: at.y - (at.y - from.y) * ratio };
  }), [room, fitted]);

  useEffect(() => {
    const element = box.current;
    if (element === null) return;
    const turn = (event: WheelEvent) => {
      // The plain wheel scrolls the page.
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const frame = element.getBoundingClientRect();
      zoom(Math.exp(-event.deltaY / 300), { x: event.clientX - frame.left, y: event.clientY - frame.top });
    };
    element.addEventListener("wheel", turn, { passive: false });
    return () => element.removeEventListener("wheel", turn);
  }, [box, zoom]);

  const dragging = {
    onPointerDown: (event: PointerEvent) => {
      if (event.button === 0) setDrag({ x: event.clientX, y: event.clientY, from: view });
    },
    onPointerMove: (event: PointerEvent) => {
      if (drag === null || Math.hypot(event.clientX - drag.x, event.clientY - drag.y) < 4) return;
      event.currentTarget.setPointerCapture(event.pointerId);
      move({ ...drag.from, x: drag.from.x + event.clientX - drag.x, y: drag.from.y + event.clientY - drag.y });
    },
    onPointerUp: () => setDrag(null),
    onPointerCancel: () => setDrag(null),
  };
  return { view, room, zoom, reset: () => move(null), dragging };
}
