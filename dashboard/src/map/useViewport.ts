// Where the map is looked at from: moved by dragging, nearer with the wheel and ctrl, whole until somebody moves it.

import { useCallback, useEffect, useState, type PointerEvent, type RefObject } from "react";

export interface Viewport {
  x: number;
  y: number;
  scale: number;
}

const [LEAST, MOST] = [0.08, 3];
const LARGEST_FIT = 1.15;
/** At the right the buttons stand, px. */
const BUTTONS = 44;
/** What is selected keeps so far from the edges, px. */
const NEAR = 28;

interface Size {
  width: number;
  height: number;
}

/** What has to be in sight, in the map's own measure. */
export interface Box extends Size {
  x: number;
  y: number;
}

/** Smaller than this nobody can read it: then a part is shown. On a phone even a part that can be read is small. */
const readable = ({ width }: Size) => (width < 600 ? 0.75 : 0.6);

export function fit(size: Size, room: Size, least = readable(room)): Viewport {
  const free = Math.max(1, room.width - BUTTONS);
  const whole = Math.min(free / Math.max(1, size.width), room.height / Math.max(1, size.height), LARGEST_FIT);
  const scale = Math.max(whole, least);
  const centre = (all: number, shown: number) => (all - shown * scale) / 2;
  // What there is no room for is at the right, and above and below alike: who begins stands at the left, about in the middle.
  return { scale, x: Math.max(0, centre(free, size.width)), y: centre(room.height, size.height) };
}

/** Whether all of it is in sight. */
export const holds = ({ x, y, scale }: Viewport, size: Size, room: Size) => x + size.width * scale <= room.width && y + size.height * scale <= room.height;

/** Moved as little as brings the box into sight. */
export function showing(view: Viewport, box: Box, room: Size): Viewport {
  const along = (offset: number, from: number, length: number, all: number) => {
    const [begin, end] = [offset + from * view.scale - NEAR, offset + (from + length) * view.scale + NEAR];
    if (begin < 0) return offset - begin;
    return end > all ? offset - Math.min(end - all, begin) : offset;
  };
  return { scale: view.scale, x: along(view.x, box.x, box.width, room.width), y: along(view.y, box.y, box.height, room.height) };
}

interface Fitted {
  room: Size;
  size: Size;
  selected: Box | undefined;
  view: Viewport;
}

/** The fit for the room, which stays while a map that grows has room in it, and while a panel stands beside it. */
function useFit(size: Size, room: Size, selected: Box | undefined, least?: number): Viewport {
  const [fitted, keep] = useState<Fitted>(() => ({ room, size, selected, view: fit(size, room, least) }));
  const isSame = fitted.room === room && fitted.size === size;
  if (isSame && fitted.selected === selected) return fitted.view;
  const view = next(fitted, size, room, selected, least);
  keep({ room, size, selected, view });
  return view;
}

function next({ view, ...before }: Fitted, size: Size, room: Size, selected: Box | undefined, least?: number): Viewport {
  const hasGrown = size.width >= before.size.width && size.height >= before.size.height;
  const hasRoom = before.room === room && (before.size === size || (hasGrown && holds(view, size, room)));
  // A panel that opens takes room; the map doesn't become another one for that.
  const stays = before.room.width > 0 && before.size === size && selected !== undefined;
  const kept = hasRoom || stays ? view : fit(size, room, least);
  return selected === undefined ? kept : showing(kept, selected, room);
}

export function useViewport(box: RefObject<HTMLElement | null>, size: Size, { least, selected }: { least?: number; selected?: Box | undefined } = {}) {
  const [room, measure] = useState<Size>({ width: 0, height: 0 });
  const [moved, move] = useState<Viewport | null>(null);
  const [drag, setDrag] = useState<{ x: number; y: number; from: Viewport } | null>(null);
  const fitted = useFit(size, room, selected, least);
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
