/** Which pixels the images of the mesh layer have, and how far its filters reach: what the graphics card and the
 * processor share of `layer` in avatar/reference/layer.py. */
/** @import { LayerView } from "../avatar/mesh_layer.js" */
/** @import { Camera } from "../avatar/projection.js" */

export const SUPERSAMPLE = 2;
export const HIDDEN_REACH = 3;
/** A distance, in samples, beyond every reach. */
export const BEYOND = 1000;
/** Meters behind the layer from which on Gaussians are hidden, where it covers this (avatar/reference/layer.py). */
export const DEPTH_MARGIN = 0.002;
export const SOLID = 0.99;
export const MAX_RADIUS = 32;
const MARGIN = 32; // pixels beyond the image that are drawn
const BLUR = 3.5e-4; // meters

/** @typedef {[number, number, number, number]} Box x, y, width, height in pixels, y up from the lower edge */
/** @typedef {Object} LayerRegion
 * @property {Box} box x, y, width, height in pixels, y up from the lower edge
 * @property {number} reach samples in which distances from the rim of the openings count
 * @property {number[]} weights of the blur, from its center on */

/** The region of a layer in an image; null where there is none.
 * @param {LayerView} view @param {Camera} camera
 * @param {number} longestFade meters @returns {LayerRegion | null} */
export function layerRegion(view, camera, longestFade) {
  const perMeter = view.pixelsPerMeter;
  const weights = blurWeights(BLUR * perMeter);
  const box = boxOf(view.box, weights.length + 1, camera);
  if (!perMeter || box[2] <= 0 || box[3] <= 0) return null;
  const reach = Math.min(Math.ceil(HIDDEN_REACH * longestFade * perMeter * SUPERSAMPLE) + 2, 2 * MARGIN);
  return { box, reach, weights };
}

/** The longest of the fades [F,2] of the faces, meters. */
export function longestFadeOf(/** @type {Float32Array} */ fades) {
  return fades.reduce((most, value) => Math.max(most, value), 0);
}

/** The pixels around a box of the layer (y down) that are drawn: x, y, width, height with y up.
 * @param {number[]} box @param {number} border @param {{width: number, height: number}} size @returns {Box} */
function boxOf([left, top, right, bottom], border, { width, height }) {
  const x0 = Math.max(Math.floor(left) - border, -MARGIN), x1 = Math.min(Math.ceil(right) + border, width + MARGIN);
  const y0 = Math.max(Math.floor(top) - border, -MARGIN), y1 = Math.min(Math.ceil(bottom) + border, height + MARGIN);
  return [x0, height - y1, x1 - x0, y1 - y0];
}

/** Weights of a normalized Gaussian from its center on, `sigma` in pixels. @param {number} sigma @returns {number[]} */
function blurWeights(sigma) {
  const radius = Math.min(Math.ceil(3 * sigma), MAX_RADIUS);
  const weights = Array.from({ length: radius + 1 }, (_, k) => (sigma ? Math.exp(-0.5 * (k / sigma) ** 2) : 1));
  const sum = 2 * weights.reduce((total, value) => total + value) - weights[0];
  return weights.map((value) => value / sum);
}
