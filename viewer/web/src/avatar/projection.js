/** Projects Gaussians to the image (EWA splatting) and sorts them by depth, the farthest first. */
/** @import { StoredNumbers } from "../container/container.js" */
/** @import { PosedGaussians } from "./gaussians.js" */

/** Values of a projected Gaussian: center (2, pixels), two conjugate axes of its ellipse (4, pixels at one standard
 * deviation), opacity, depth (meters), color (3), how far the stencil of the mesh layer fades it. */
export const SPLAT_SIZE = 12;
const PAIRS = SPLAT_SIZE / 2;
const ALPHA_MIN = 1 / 255;
const NEAR = 0.01;
const SLOPE_MAX = 2;
const KEYS = 1 << 16;

/** A pinhole camera with OpenCV axes.
 * @typedef {Object} Camera
 * @property {number} fx pixels
 * @property {number} fy
 * @property {number} cx
 * @property {number} cy
 * @property {number[]} rotation [9] to the camera, from the world (or the skull frame where that is said)
 * @property {number[]} translation [3] meters
 * @property {number} width pixels
 * @property {number} height
 * @property {object} [scene] the camera of a 3D scene that it was made of */

export class Projection {
  /** @param {number} count Gaussians @param {StoredNumbers} [fades] [N] of the mesh layer */
  constructor(count, fades) {
    this.fades = fades;
    this.capacity = count;
    this.projected = new Float32Array(SPLAT_SIZE * count);
    /** Half the height of each projected Gaussian where its opacity ends, pixels. */
    this.halfHeights = new Float32Array(count);
    /** Their numbers, the farthest first. */
    this.order = new Uint32Array(count);
    this.keys = new Uint16Array(count);
    this.histogram = new Uint32Array(KEYS + 1);
    this.count = 0;
  }

  /** Projects the Gaussians that touch the image, and sorts them.
   * @param {PosedGaussians} gaussians @param {Camera} camera from their frame */
  project(gaussians, camera) {
    const { means, axes, opacities, dilation } = gaussians;
    const { fx, fy, cx, cy, rotation: r, translation: t } = camera;
    this.count = 0;
    for (let i = 0; i < gaussians.count; i++) {
      if (!(opacities[i] > ALPHA_MIN)) continue;
      const wx = means[3 * i], wy = means[3 * i + 1], wz = means[3 * i + 2];
      const z = r[6] * wx + r[7] * wy + r[8] * wz + t[2];
      if (!(z > NEAR)) continue;
      const x = (r[0] * wx + r[1] * wy + r[2] * wz + t[0]) / z, y = (r[3] * wx + r[4] * wy + r[5] * wz + t[1]) / z;
      const sx = x < -SLOPE_MAX ? -SLOPE_MAX : x > SLOPE_MAX ? SLOPE_MAX : x;
      const sy = y < -SLOPE_MAX ? -SLOPE_MAX : y > SLOPE_MAX ? SLOPE_MAX : y;
      // Rows of the Jacobian times the rotation of the camera.
      const mx = fx / z, my = fy / z;
      const u0 = mx * (r[0] - sx * r[6]), u1 = mx * (r[1] - sx * r[7]), u2 = mx * (r[2] - sx * r[8]);
      const v0 = my * (r[3] - sy * r[6]), v1 = my * (r[4] - sy * r[7]), v2 = my * (r[5] - sy * r[8]);
      let xx = dilation, xy = 0, yy = dilation;
      for (let k = 9 * i; k < 9 * i + 3; k++) {
        const p = u0 * axes[k] + u1 * axes[k + 3] + u2 * axes[k + 6];
        const q = v0 * axes[k] + v1 * axes[k + 3] + v2 * axes[k + 6];
        xx += p * p;
        xy += p * q;
        yy += q * q;
      }
      this.#add(i, fx * x + cx, fy * y + cy, z, xx, xy, yy, gaussians, camera);
    }
    this.#sort();
  }

  /** Adds Gaussian `i` with a center and a covariance in pixels, where it touches the image.
   * @param {number} i @param {number} x @param {number} y @param {number} z @param {number} xx @param {number} xy
   * @param {number} yy @param {PosedGaussians} gaussians @param {Camera} camera */
  #add(i, x, y, z, xx, xy, yy, { colors, opacities, reaches }, { width, height }) {
    const { projected, halfHeights, fades } = this;
    const deviation = Math.sqrt(xx), halfWidth = reaches[i] * deviation, halfHeight = reaches[i] * Math.sqrt(yy);
    if (!(x + halfWidth > 0 && x - halfWidth < width && y + halfHeight > 0 && y - halfHeight < height)) return;
    // A square root of the covariance by Cholesky: as good as the axes of the ellipse, and faster.
    const slope = xy / deviation, at = SPLAT_SIZE * this.count;
    projected[at] = x;
    projected[at + 1] = y;
    projected[at + 2] = deviation;
    projected[at + 3] = slope;
    projected[at + 4] = 0;
    projected[at + 5] = Math.sqrt(Math.max(yy - slope * slope, 1e-12));
    projected[at + 6] = opacities[i];
    projected[at + 7] = z;
    projected[at + 8] = colors[3 * i];
    projected[at + 9] = colors[3 * i + 1];
    projected[at + 10] = colors[3 * i + 2];
    projected[at + 11] = fades ? fades[i] : 0;
    halfHeights[this.count++] = halfHeight;
  }

  /** Counting sort by depth, in 16 bits: with half as many keys, images lose up to 2 dB. */
  #sort() {
    const { projected, keys, order, histogram, count } = this;
    let near = Infinity, far = -Infinity;
    for (let at = 7; at < SPLAT_SIZE * count; at += SPLAT_SIZE) {
      const depth = projected[at];
      if (depth < near) near = depth;
      if (depth > far) far = depth;
    }
    const scale = far > near ? (KEYS - 1) / (far - near) : 0;
    histogram.fill(0);
    for (let i = 0, at = 7; i < count; i++, at += SPLAT_SIZE) {
      const key = ((far - projected[at]) * scale) | 0;
      keys[i] = key;
      histogram[key + 1]++;
    }
    for (let key = 0, sum = 0; key < KEYS; key++) histogram[key] = sum += histogram[key];
    for (let i = count - 1; i >= 0; i--) order[histogram[keys[i]]++] = i;
  }

  /** Writes the projected Gaussians into `out`, the farthest first. @param {Float32Array} [out] memory to use */
  write(out = new Float32Array(SPLAT_SIZE * this.capacity)) {
    const { order, count } = this;
    const from = pairsOf(this.projected), to = pairsOf(out);
    for (let k = 0; k < count; k++) copyPairs(to, PAIRS * k, from, PAIRS * order[k]);
    return out;
  }

  /** Writes those that touch rows of an image, counted from its lower edge, into `out`; returns their number.
   * @param {Float32Array} out @param {number} height of the image @param {number} first @param {number} rows */
  writeRows(out, height, first, rows) {
    const { projected, halfHeights, order, count } = this;
    const from = pairsOf(projected), to = pairsOf(out);
    let written = 0;
    for (let k = 0; k < count; k++) {
      const i = order[k], y = height - projected[SPLAT_SIZE * i + 1], half = halfHeights[i] + 1;
      if (y + half > first && y - half < first + rows) copyPairs(to, PAIRS * written++, from, PAIRS * i);
    }
    return written;
  }
}

/** The numbers as pairs, which are copied faster. */
function pairsOf(/** @type {Float32Array} */ array) {
  return new Float64Array(array.buffer, array.byteOffset, array.length / 2);
}

/** @param {Float64Array} to @param {number} at @param {Float64Array} from @param {number} start */
function copyPairs(to, at, from, start) {
  for (let k = 0; k < PAIRS; k++) to[at + k] = from[start + k];
}
