/** Size of the canvas in pixels: that of the screen, and smaller where the device is too slow for it. */

const MAX_PIXELS = 1.6e6;
const MAX_DENSITY = 2;
const SLOW = 70; // milliseconds of a frame above which the image gets smaller
const PAUSE = 1000; // milliseconds without a frame: a tab in the background
const STEP = 0.8;
const MIN_SCALE = 0.4;
const FRAMES = 12; // over which the time is averaged

export class Resolution {
  /** @param {HTMLCanvasElement} canvas @param {() => void} changed */
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.scale = 1;
    /** Whether the size may not change, while a video is recorded. */
    this.isFixed = false;
    this.changed = changed;
    /** Milliseconds of the last frames. @type {number[]} */
    this.times = [];
    new ResizeObserver(changed).observe(canvas);
  }

  /** Width and height in pixels; full size for a face that rests. @returns {[number, number]} */
  size(/** @type {boolean} */ isMoving) {
    const { clientWidth, clientHeight } = this.canvas;
    const density = Math.min(devicePixelRatio, MAX_DENSITY);
    const area = clientWidth * clientHeight * density * density;
    const scale = isMoving || this.isFixed ? this.scale : 1;
    const factor = scale * density * Math.min(1, Math.sqrt(MAX_PIXELS / Math.max(area, 1)));
    const pixels = (/** @type {number} */ side) => Math.max(Math.round(side * factor), 16);
    return [pixels(clientWidth), pixels(clientHeight)];
  }

  /** Notes a frame of a motion at `now` (milliseconds). @param {number} now @param {boolean} isMoving */
  measure(now, isMoving) {
    if (now - this.times[this.times.length - 1] > PAUSE) this.times = [];
    this.times = isMoving ? [...this.times, now].slice(-FRAMES) : [];
    if (this.isFixed || this.times.length < FRAMES || this.scale <= MIN_SCALE) return;
    if ((now - this.times[0]) / (FRAMES - 1) < SLOW) return;
    this.scale = Math.max(this.scale * STEP, MIN_SCALE);
    this.times = [];
    this.changed();
  }
}
