// What is laid out, and what comes of it. Only who calls whom counts, never numbers, so nothing moves while these change.

export interface Point {
  x: number;
  y: number;
}

export interface LaidNode {
  id: string;
  /** Whoever starts flows stands at the left. */
  isClient: boolean;
}

export interface LaidEdge {
  key: string;
  from: string;
  to: string;
}

/** The left upper corner is `x`, `y - NODE_HEIGHT / 2`. */
export interface Place extends Point {
  layer: number;
}

export interface Route {
  /** Pairs of points: a curve leads to every odd one, a straight line to every even one. */
  points: Point[];
  /** Whether it closes a cycle, and so runs from right to left. */
  turned: boolean;
  self: boolean;
}

export interface Layout {
  places: Map<string, Place>;
  routes: Map<string, Route>;
  labels: Map<string, Point>;
  width: number;
  height: number;
}

export const NODE_WIDTH = 172;
export const NODE_HEIGHT = 50;
export const GAP_X = 106;
export const GAP_Y = 36;
export const MARGIN = 22;
export const DUMMY_HEIGHT = 26;

export const columnX = (layer: number) => MARGIN + layer * (NODE_WIDTH + GAP_X);
export const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
