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

/** A perspective camera of a scene that the avatar stands in, as that of three.js: matrices of 16 numbers by columns,
 * the camera looks along its negative z axis, y up. */
export interface SceneCamera {
  /** scene to camera: `camera.matrixWorldInverse.elements` */
  view: ArrayLike<number>;
  /** camera to clip space: `camera.projectionMatrix.elements` */
  projection: ArrayLike<number>;
  /** the avatar's space (meters, y up) to the scene: rotation, translation and one scale; omitted: the same space */
  model?: ArrayLike<number>;
  /** pixels, 1 to 4096 */
  width: number;
  height: number;
}

/** A rendered frame. */
export interface FrameDetail {
  /** milliseconds of posing the Gaussians */
  poseTime: number;
  /** milliseconds of projecting and sorting them */
  sortTime: number;
  /** a copy of the scene's camera with which it was rendered; null where it was the element's own */
  camera: SceneCamera | null;
  /** with `asGaussians`, until the next frame: 14 numbers a Gaussian: center (meters, the avatar's space), quaternion
   * xyzw, standard deviations (meters), sRGB, opacity; null without */
  gaussians: Float32Array | null;
}

/** An avatar on a page. Events: `load`, `frame`, and `voice` and `error` with a sentence in `detail`. */
export class HeadsplatAvatar extends HTMLElement {
  addEventListener(
    type: "frame",
    listener: (event: CustomEvent<FrameDetail>) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject,
    options?: boolean | AddEventListenerOptions,
  ): void;
  load(source: string | URL | ArrayBuffer): Promise<HeadsplatAvatar>;
  /** Whether frames have the posed Gaussians in place of an image; to be set before `load`. */
  asGaussians: boolean;
  readonly expressionNames: string[];
  readonly about: { name: string; note: string; consent: string; provenance: Record<string, unknown> } | null;
  /** The image, premultiplied sRGB and alpha, to be copied by listeners of `frame`; another one after each `load`. */
  readonly canvas: HTMLCanvasElement | null;
  /** The resting head in the avatar's space: its center, meters, and the unit vector that it looks along. */
  readonly placement: { center: number[]; forward: number[] } | null;
  setPose(pose: FacePose): void;
  setCamera(camera: AvatarCamera | SceneCamera): void;
  setBackground(color: [number, number, number, number?]): void;
  /** Shows what an agent says at a `headsplat serve` of the same avatar; null ends it. */
  follow(address: string | URL | null): void;
  /** Plays the sound of that voice, or stops it; to be called by a click. */
  toggleSound(): Promise<void>;
  /** Requests a new frame. */
  changed(): void;
  play(): void;
  pause(): void;
  dispose(): void;
}

declare global {
  interface HTMLElementTagNameMap {
    "headsplat-avatar": HeadsplatAvatar;
  }
}

export function loadAvatar(parent: Element, source: string | URL | ArrayBuffer): Promise<HeadsplatAvatar>;
