/** Draws sorted Gaussians on the processor, for browsers without a graphics card, whose emulation of one takes several
 * times as long. Blends front to back, as avatar/reference/splat.py. Images have their lowest row first, as in WebGL. */
import { SPLAT_SIZE } from "./projection.js";

const ALPHA_MAX = 0.999;
const TRANSMITTANCE_MIN = 1e-4;
const DEPTH_MARGIN = 0.002;
const SOLID = 0.99;
/** Steps of the table of exp(-x / 2), x below MAX_SQUARE: 2 ln 255, where an opaque Gaussian ends. */
const STEPS = 2048;
const MAX_SQUARE = 2 * Math.log(255) + 1e-3;
const FALLOFF = Float32Array.from({ length: STEPS + 2 }, (_, k) => Math.exp((-0.5 * (k + 0.5) * MAX_SQUARE) / STEPS));

/** The layer under the Gaussians: what they blend over, and what fades them.
 * @typedef {Object} LayerPixels
 * @property {number[]} box x, y, width, height in pixels, y up from the lower edge
 * @property {Uint8Array} color [h,w,4] premultiplied, and coverage
 * @property {Float32Array} stencil [h,w,4] stencil, depth from the middle
 * @property {number} middle meters */

export class SplatRaster {
  /** Pixels [H,W,4]: color (premultiplied) and transmittance. */
  #pixels = new Float32Array(0);

  /** Blends `count` projected Gaussians, the nearest last, into bytes [H,W,4], premultiplied with alpha.
   * @param {Float32Array} splats @param {LayerPixels | null} layer @param {Uint8Array} out */
  draw(splats, count, width, height, layer, out) {
    const size = 4 * width * height;
    if (this.#pixels.length !== size) this.#pixels = new Float32Array(size);
    const pixels = this.#pixels;
    pixels.fill(0);
    for (let at = 3; at < size; at += 4) pixels[at] = 1;
    for (let k = count - 1; k >= 0; k--) drawSplat(splats, SPLAT_SIZE * k, pixels, width, height, layer);
    if (layer) blendUnder(pixels, width, height, layer);
    for (let at = 0; at < size; at += 4) {
      out[at] = 255 * Math.min(pixels[at], 1) + 0.5;
      out[at + 1] = 255 * Math.min(pixels[at + 1], 1) + 0.5;
      out[at + 2] = 255 * Math.min(pixels[at + 2], 1) + 0.5;
      out[at + 3] = 255 * (1 - pixels[at + 3]) + 0.5;
    }
  }
}

/** Blends one Gaussian behind what is in `pixels`, row by row of its ellipse. */
function drawSplat(splats, at, pixels, width, height, layer) {
  const x = splats[at], y = height - splats[at + 1];
  const ax = splats[at + 2], ay = -splats[at + 3], bx = splats[at + 4], by = -splats[at + 5];
  const opacity = splats[at + 6];
  const red = splats[at + 8], green = splats[at + 9], blue = splats[at + 10];
  const square = 2 * Math.log(255 * opacity);
  // The inverse covariance [xx, xy; xy, yy], from the axes of the ellipse.
  const det = 1 / (ax * by - ay * bx) ** 2;
  const xx = (ay * ay + by * by) * det, xy = -(ax * ay + bx * by) * det, yy = (ax * ax + bx * bx) * det;
  const half = Math.sqrt(square * (ay * ay + by * by));
  const first = Math.max(Math.ceil(y - half - 0.5), 0), last = Math.min(Math.floor(y + half - 0.5), height - 1);
  const scale = STEPS / MAX_SQUARE;
  const across = yy - (xy * xy) / xx;
  for (let row = first; row <= last; row++) {
    const dy = row + 0.5 - y;
    const middle = x - (xy * dy) / xx;
    const low = across * dy * dy;
    if (low >= square) continue;
    const reach = Math.sqrt((square - low) / xx);
    const left = Math.max(Math.ceil(middle - reach - 0.5), 0);
    const right = Math.min(Math.floor(middle + reach - 0.5), width - 1);
    const inLayer = layer && isInside(layer.box, row);
    for (let column = left, to = 4 * (row * width + left); column <= right; column++, to += 4) {
      const transmittance = pixels[to + 3];
      if (transmittance <= TRANSMITTANCE_MIN) continue;
      const dx = column + 0.5 - middle;
      let alpha = opacity * FALLOFF[(scale * (low + xx * dx * dx)) | 0];
      if (alpha > ALPHA_MAX) alpha = ALPHA_MAX;
      if (inLayer) alpha *= kept(layer, column, row, splats[at + 7], splats[at + 11]);
      const weight = alpha * transmittance;
      pixels[to] += weight * red;
      pixels[to + 1] += weight * green;
      pixels[to + 2] += weight * blue;
      pixels[to + 3] = transmittance - weight;
    }
  }
}

function isInside([, y, , height], row) {
  return row >= y && row < y + height;
}

/** Factor of the alpha of a Gaussian at a pixel in front of the layer. */
function kept({ box, color, stencil, middle }, column, row, depth, fade) {
  const x = column - box[0];
  if (x < 0 || x >= box[2]) return 1;
  const at = 4 * ((row - box[1]) * box[2] + x);
  if (depth > middle + stencil[at + 1] + DEPTH_MARGIN && color[at + 3] >= 255 * SOLID) return 0;
  return 1 - stencil[at] * fade;
}

/** Blends the layer behind all Gaussians. */
function blendUnder(pixels, width, height, { box, color }) {
  const [x0, y0, columns, rows] = box;
  for (let y = Math.max(y0, 0); y < Math.min(y0 + rows, height); y++)
    for (let x = Math.max(x0, 0); x < Math.min(x0 + columns, width); x++) {
      const from = 4 * ((y - y0) * columns + x - x0), to = 4 * (y * width + x);
      const transmittance = pixels[to + 3];
      for (let k = 0; k < 3; k++) pixels[to + k] += (transmittance * color[from + k]) / 255;
      pixels[to + 3] = transmittance * (1 - color[from + 3] / 255);
    }
}
