/** Projects Gaussians to the image (EWA splatting) and sorts them by depth, the farthest first. */

/** Values of a projected Gaussian: center (2, pixels), two axes of its ellipse (4, pixels at one standard deviation),
 * opacity, depth (meters), color (3), how far the stencil of the mesh layer fades it. */
export const SPLAT_SIZE = 12;
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
 * @property {number[]} rotation [9] world -> camera
 * @property {number[]} translation [3] meters
 * @property {number} width pixels
 * @property {number} height */

export class Projection {
  /** @param {number} count Gaussians @param {Uint8Array} [fades] [N] of the mesh layer */
  constructor(count, fades) {
    this.fades = fades;
    this.projected = new Float32Array(SPLAT_SIZE * count);
    this.keys = new Uint16Array(count);
    this.order = new Uint32Array(count);
    this.histogram = new Uint32Array(KEYS + 1);
    this.count = 0;
  }

  /** Projects the Gaussians that touch the image. @param {import("./gaussians.js").WorldGaussians} gaussians */
  project(gaussians, /** @type {Camera} */ camera) {
    const { means, axes, colors, opacities, dilation } = gaussians;
    const { fx, fy, cx, cy, rotation: r, translation: t, width, height } = camera;
    const { projected, fades } = this;
    let at = 0;
    for (let i = 0; i < gaussians.count; i++) {
      const opacity = opacities[i];
      if (!(opacity > ALPHA_MIN)) continue;
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
      const reach = Math.sqrt(2 * Math.log(255 * opacity));
      const px = fx * x + cx, py = fy * y + cy;
      const halfWidth = reach * Math.sqrt(xx), halfHeight = reach * Math.sqrt(yy);
      if (!(px + halfWidth > 0 && px - halfWidth < width && py + halfHeight > 0 && py - halfHeight < height)) continue;
      // Eigenvectors of the covariance, times the square roots of its eigenvalues.
      const mean = 0.5 * (xx + yy), half = 0.5 * (xx - yy);
      const root = Math.sqrt(half * half + xy * xy);
      const large = Math.sqrt(mean + root), small = Math.sqrt(Math.max(mean - root, 1e-12));
      let ax = half >= 0 ? half + root : xy, ay = half >= 0 ? xy : root - half;
      const norm = Math.sqrt(ax * ax + ay * ay);
      if (norm > 1e-12) {
        ax /= norm;
        ay /= norm;
      } else {
        ax = 1;
        ay = 0;
      }
      projected[at] = px;
      projected[at + 1] = py;
      projected[at + 2] = large * ax;
      projected[at + 3] = large * ay;
      projected[at + 4] = -small * ay;
      projected[at + 5] = small * ax;
      projected[at + 6] = opacity;
      projected[at + 7] = z;
      projected[at + 8] = colors[3 * i];
      projected[at + 9] = colors[3 * i + 1];
      projected[at + 10] = colors[3 * i + 2];
      projected[at + 11] = fades ? fades[i] : 0;
      at += SPLAT_SIZE;
    }
    this.count = at / SPLAT_SIZE;
  }

  /** Writes the projected Gaussians into `out`, the farthest first (counting sort of 16 bits). */
  sortInto(/** @type {Float32Array} */ out) {
    const { projected, keys, order, histogram, count } = this;
    let near = Infinity, far = -Infinity;
    for (let at = 7; at < SPLAT_SIZE * count; at += SPLAT_SIZE) {
      const depth = projected[at];
      if (depth < near) near = depth;
      if (depth > far) far = depth;
    }
    const scale = far > near ? (KEYS - 1) / (far - near) : 0;
    histogram.fill(0);
    for (let i = 0; i < count; i++) {
      keys[i] = (far - projected[SPLAT_SIZE * i + 7]) * scale;
      histogram[keys[i] + 1]++;
    }
    for (let key = 0; key < KEYS; key++) histogram[key + 1] += histogram[key];
    for (let i = count - 1; i >= 0; i--) order[histogram[keys[i]]++] = i;
    for (let k = 0, at = 0; k < count; k++) {
      const from = SPLAT_SIZE * order[k];
      for (let value = from; value < from + SPLAT_SIZE; value++) out[at++] = projected[value];
    }
  }
}
