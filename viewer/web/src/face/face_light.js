/** Linear light around the landmarks of a face in an image; as `face_light` in capture/quality/frame_statistics.py. */
import { FACE_COUNT } from "./landmark_model.js";

/** Height of the face, in pixels, at which its colors are sampled, and factor of its box. */
const HEIGHT = 96, MARGIN = 1.2;
/** Linear light of 8-bit sRGB. */
const LINEAR = Float32Array.from({ length: 256 }, (_, code) => {
  const value = code / 255;
  return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
});

/** Reads images on a canvas of its own. */
export class FaceLight {
  #context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });

  /** Linear light [468,3] 0..1 around landmarks; null where the browser cannot read the image.
   * @param {ImageBitmap} image @param {Float32Array} points [478,3] pixels @returns {Float32Array | null} */
  around(image, points) {
    const box = boxOf(points, image.width, image.height), context = this.#context;
    if (!context || !box) return null;
    const { left, top, width, height, scale } = box;
    const columns = Math.max(2, Math.round(width * scale)), rows = Math.max(2, Math.round(height * scale));
    Object.assign(context.canvas, { width: columns, height: rows });
    context.imageSmoothingQuality = "high";
    context.drawImage(image, left, top, width, height, 0, 0, columns, rows);
    const { data } = context.getImageData(0, 0, columns, rows);
    return lightAt(data, columns, rows, (k) => [(points[3 * k] - left) * scale, (points[3 * k + 1] - top) * scale]);
  }
}

/** The box around a face in an image, and its pixels per pixel of the image; null outside of it.
 * @param {Float32Array} points @param {number} width @param {number} height */
function boxOf(points, width, height) {
  const low = [Infinity, Infinity], high = [-Infinity, -Infinity];
  for (let k = 0; k < FACE_COUNT; k++)
    for (const axis of [0, 1]) {
      low[axis] = Math.min(low[axis], points[3 * k + axis]);
      high[axis] = Math.max(high[axis], points[3 * k + axis]);
    }
  const size = [width, height];
  const start = low.map((value, axis) => Math.max(Math.floor(value - ((MARGIN - 1) / 2) * (high[axis] - value)), 0));
  const end = high.map((value, axis) => Math.min(Math.ceil(value + ((MARGIN - 1) / 2) * (value - low[axis])), size[axis]));
  if (!(end[0] - start[0] >= 2 && end[1] - start[1] >= 2)) return null;
  const scale = Math.min(1, HEIGHT / Math.max(high[1] - low[1], 1));
  return { left: start[0], top: start[1], width: end[0] - start[0], height: end[1] - start[1], scale };
}

/** Light of 3x3 pixels, bilinearly at places whose pixel centers are at .5.
 * @param {Uint8ClampedArray} data RGBA @param {number} columns @param {number} rows
 * @param {(k: number) => number[]} placeOf landmark k */
export function lightAt(data, columns, rows, placeOf) {
  const inside = (/** @type {number} */ value, /** @type {number} */ count) => Math.min(Math.max(value, 0), count - 1);
  const blurred = (/** @type {number} */ x, /** @type {number} */ y, /** @type {number} */ c) => {
    let sum = 0;
    for (let dy = -1; dy <= 1; dy++)
      for (let dx = -1; dx <= 1; dx++)
        sum += LINEAR[data[4 * (inside(y + dy, rows) * columns + inside(x + dx, columns)) + c]];
    return sum / 9;
  };
  const light = new Float32Array(3 * FACE_COUNT);
  for (let k = 0; k < FACE_COUNT; k++) {
    const [x, y] = placeOf(k).map((value) => value - 0.5), x0 = Math.floor(x), y0 = Math.floor(y);
    for (let c = 0; c < 3; c++) {
      const [a, b] = [y0, y0 + 1].map((row) => blurred(x0, row, c) + (x - x0) * (blurred(x0 + 1, row, c) - blurred(x0, row, c)));
      light[3 * k + c] = a + (y - y0) * (b - a);
    }
  }
  return light;
}
