/** A pose of the face; what is left out keeps its value. */
export interface FacePose {
  /** by name of the expression, added to the resting face */
  weights?: Record<string, number>;
  /** to the person's left and up, -1..1 */
  gaze?: [number, number];
  /** yaw to the person's left, pitch down, roll to the person's right shoulder, degrees */
  head?: [number, number, number];
  /** within the trained range; true at first */
  limited?: boolean;
}

/** Radians to the right and up from the front; a zoom of 1 frames head and shoulders. */
export interface AvatarCamera {
  yaw?: number;
  pitch?: number;
  zoom?: number;
}

/** An avatar on a page. Events: `load`, `frame`, and `error` with a sentence in `detail`. */
export class HeadsplatAvatar extends HTMLElement {
  load(source: string | URL | ArrayBuffer): Promise<HeadsplatAvatar>;
  readonly expressionNames: string[];
  readonly about: { name: string; note: string; consent: string; provenance: Record<string, unknown> } | null;
  setPose(pose: FacePose): void;
  setCamera(camera: AvatarCamera): void;
  setBackground(color: [number, number, number, number?]): void;
  play(): void;
  pause(): void;
  dispose(): void;
}

export function loadAvatar(parent: Element, source: string | URL | ArrayBuffer): Promise<HeadsplatAvatar>;
