/** Draws sorted Gaussians on the processor, for browsers without a graphics card, whose emulation of one takes several
 * times as long. Blends front to back, as avatar/reference/splat.py. Images have their lowest row first, as in WebGL. */
import { grown } from "./memory.js";
import { SPLAT_SIZE } from "../avatar/projection.js";
/** @import { LayerRows } from "./layer_raster.js" */

const ALPHA_MAX = 0.999;
/** Gaussians narrower than this many pixels at one standard deviation are drawn as wide, which no image shows. */
const NARROWEST = 1 / 8;
/** Table of exp(-k / STEPS) for LOWEST <= k / STEPS < HIGHEST: all that occurs in ellipses that end at 1 / 255. */
const STEPS = 32;
const LOWEST = -6;
const HIGHEST = 64;
const EXPONENTIALS = Float64Array.from({ length: STEPS * (HIGHEST - LOWEST) }, (_, k) => Math.exp(-LOWEST - k / STEPS));

export class SplatRaster {
  /** Pixels [h,W,4]: color (premultiplied) and transmittance. Cleared between images. */
  #pixels = new Float64Array(0);

  /** Blends `count` projected Gaussians, the nearest last, into the rows from `first` on, as premultiplied bytes.
   * A row is the same whichever rows are drawn with it.
   * @param {Float32Array} splats @param {number} count
   * @param {{width: number, height: number}} size of the image, pixels @param {number} first @param {number} rows
   * @param {LayerRows | null} layer @param {Uint8Array} out [rows,W,4] */
  draw(splats, count, size, first, rows, layer, out) {
    const { width } = size;
    if (this.#pixels.length < 4 * width * rows) {
      this.#pixels = grown(this.#pixels, 4 * width * rows);
      clear(this.#pixels);
    }
    const pixels = this.#pixels;
    for (let k = count - 1; k >= 0; k--) drawSplat(splats, SPLAT_SIZE * k, pixels, size, first, rows, layer);
    if (layer) blendUnder(pixels, width, first, layer);
    writeBytes(pixels, width * rows, out);
  }
}

/** Blends one Gaussian behind what is in `pixels`, row by row of its ellipse.
 * @param {Float32Array} splats @param {number} at @param {Float64Array} pixels
 * @param {{width: number, height: number}} size @param {number} start @param {number} rows
 * @param {LayerRows | null} layer */
function drawSplat(splats, at, pixels, { width, height }, start, rows, layer) {
  const x = splats[at], y = height - splats[at + 1];
  const ax = splats[at + 2], ay = -splats[at + 3], bx = splats[at + 4], by = -splats[at + 5];
  const square = 2 * Math.log(255 * splats[at + 6]), opacity = Math.min(splats[at + 6], ALPHA_MAX);
  const half = Math.sqrt(square * (ay * ay + by * by));
  const first = Math.max(Math.ceil(y - half - 0.5), start);
  const last = Math.min(Math.floor(y + half - 0.5), start + rows - 1);
  // The inverse covariance [xx, xy; xy, yy], from the axes of the ellipse.
  const root = 1 / (ax * by - ay * bx), det = root * root;
  const xx = Math.min((ay * ay + by * by) * det, 1 / NARROWEST ** 2), yy = (ax * ax + bx * bx) * det;
  const xy = -(ax * ay + bx * by) * det, slope = xy / xx, across = yy - xy * slope, curve = Math.exp(-xx);
  for (let row = first; row <= last; row++) {
    const dy = row + 0.5 - y;
    const middle = x - slope * dy, low = across * dy * dy;
    if (low >= square) continue;
    const reach = Math.sqrt((square - low) / xx);
    const left = Math.max(Math.ceil(middle - reach - 0.5), 0);
    const right = Math.min(Math.floor(middle + reach - 0.5), width - 1);
    if (left > right) continue;
    const to = 4 * ((row - start) * width + left), end = to + 4 * (right - left);
    const dx = left + 0.5 - middle, under = layer ? row - layer.first : -1;
    const isBeside = !layer || under < 0 || under >= layer.rows;
    const from = isBeside ? right + 1 : Math.max(layer.left + layer.spans[2 * under], left);
    const until = isBeside ? right : Math.min(layer.left + layer.spans[2 * under + 1], right);
    if (!layer || from > until) {
      blend(pixels, to, end, opacity, low, dx, xx, curve, splats, at);
      continue;
    }
    // The parts beside the layer, and between them that over it.
    const k = under * layer.width + from - layer.left, before = from - left, after = until + 1 - left;
    const over = to + 4 * before, beyond = to + 4 * after;
    blend(pixels, to, over - 4, opacity, low, dx, xx, curve, splats, at);
    blendOver(layer, k, pixels, over, beyond - 4, opacity, low, dx + before, xx, curve, splats, at);
    blend(pixels, beyond, end, opacity, low, dx + after, xx, curve, splats, at);
  }
}

/** exp(-value), LOWEST <= value < HIGHEST, with a relative error of 3e-9. @param {number} value */
function exponential(value) {
  const k = (STEPS * (value - LOWEST) + 0.5) | 0, rest = k / STEPS + LOWEST - value;
  return EXPONENTIALS[k] * (1 + rest * (1 + rest * (0.5 + rest / 6)));
}

/** Blends a Gaussian along a row, from `dx` pixels beside its middle on: the quotient of two neighbors changes by a
 * constant factor, `curve`. Blends hidden pixels, too, since to skip them takes longer.
 * @param {Float64Array} pixels @param {number} start @param {number} end @param {number} opacity @param {number} low
 * @param {number} dx @param {number} xx @param {number} curve @param {Float32Array} splats @param {number} at */
function blend(pixels, start, end, opacity, low, dx, xx, curve, splats, at) {
  if (start > end) return;
  const red = splats[at + 8], green = splats[at + 9], blue = splats[at + 10];
  let alpha = opacity * exponential(0.5 * (low + xx * dx * dx)), quotient = exponential(xx * (dx + 0.5));
  for (let to = start; to <= end; to += 4) {
    const transmittance = pixels[to + 3];
    const weight = alpha * transmittance;
    pixels[to] += weight * red;
    pixels[to + 1] += weight * green;
    pixels[to + 2] += weight * blue;
    pixels[to + 3] = transmittance - weight;
    alpha *= quotient;
    quotient *= curve;
  }
}

/** The same where the layer, from its pixel `k` on, fades Gaussians in front of it and hides those behind it.
 * @param {LayerRows} layer @param {number} k @param {Float64Array} pixels @param {number} start @param {number} end
 * @param {number} opacity @param {number} low @param {number} dx @param {number} xx @param {number} curve
 * @param {Float32Array} splats @param {number} at */
function blendOver({ stencil, limits }, k, pixels, start, end, opacity, low, dx, xx, curve, splats, at) {
  const depth = splats[at + 7], fade = splats[at + 11];
  const red = splats[at + 8], green = splats[at + 9], blue = splats[at + 10];
  let alpha = opacity * exponential(0.5 * (low + xx * dx * dx)), quotient = exponential(xx * (dx + 0.5));
  for (let to = start, under = k; to <= end; to += 4, under++) {
    const transmittance = pixels[to + 3];
    const kept = depth > limits[under] ? 0 : 1 - fade * stencil[under];
    const weight = alpha * kept * transmittance;
    pixels[to] += weight * red;
    pixels[to + 1] += weight * green;
    pixels[to + 2] += weight * blue;
    pixels[to + 3] = transmittance - weight;
    alpha *= quotient;
    quotient *= curve;
  }
}

/** Blends the layer behind all Gaussians.
 * @param {Float64Array} pixels @param {number} width @param {number} start @param {LayerRows} layer */
function blendUnder(pixels, width, start, { left, first, rows, width: columns, color }) {
  const from = Math.max(-left, 0), until = Math.min(width - left, columns);
  for (let row = 0; row < rows; row++)
    for (let x = from; x < until; x++) {
      const at = 4 * (row * columns + x);
      if (color[at + 3] === 0) continue;
      const to = 4 * ((first - start + row) * width + left + x), transmittance = pixels[to + 3];
      for (let k = 0; k < 3; k++) pixels[to + k] += transmittance * color[at + k];
      pixels[to + 3] = transmittance * (1 - color[at + 3]);
    }
}

/** Writes `count` pixels as bytes, and clears them.
 * @param {Float64Array} pixels @param {number} count @param {Uint8Array} out */
function writeBytes(pixels, count, out) {
  const words = new Uint32Array(out.buffer, out.byteOffset, count);
  for (let k = 0, at = 0; k < count; k++, at += 4) {
    const transmittance = pixels[at + 3];
    if (transmittance === 1) {
      words[k] = 0;
      continue;
    }
    const red = 255 * Math.min(pixels[at], 1) + 0.5, green = 255 * Math.min(pixels[at + 1], 1) + 0.5;
    const blue = 255 * Math.min(pixels[at + 2], 1) + 0.5, alpha = 255 * (1 - transmittance) + 0.5;
    words[k] = red | (green << 8) | (blue << 16) | (alpha << 24); // browsers store the lowest byte first
    pixels[at] = pixels[at + 1] = pixels[at + 2] = 0;
    pixels[at + 3] = 1;
  }
}

/** @param {Float64Array} pixels */
function clear(pixels) {
  pixels.fill(0);
  for (let at = 3; at < pixels.length; at += 4) pixels[at] = 1;
}
