/** Light on the mesh layer: what enters the mouth between the lips, and the shadow of the lids on the eyes. */
import { pointOn } from "./head.js";
import { add, clamp, scaled, subtract } from "./linear.js";
/** @import { AvatarContainer } from "../container/avatar_container.js" */

// The constants of avatar/reference/light.py.
const WRAP = 0.4;
const SIDEWAYS = 0.2;
const INDIRECT = 0.1;
const INDIRECT_AREA = 300; // mm^2
const CLOSED = 1; // mm
const NEAR_TEETH = 6; // mm
const CORE = 0.6;
const LANDMARKS = 9; // of an edge of a lid
const DEGREES = 5; // coefficients of a polynomial

/** Light that enters the mouth. */
export class MouthLight {
  /** @param {AvatarContainer} container */
  constructor(container) {
    this.vertices = container.raw("layer.mouth_vertices");
    this.normals = container.floats("layer.mouth_normals");
    const count = container.header.layer?.lips.corners.length ?? 0;
    this.corners = container.numbers("layer.lips.corners", [count, 3]);
    this.bary = container.numbers("layer.lips.bary", [count, 3]);
  }

  /** Multiplies `shade` [V] by the light at posed vertices [V,3]. 
   * @param {Float32Array} vertices @param {Float32Array} shade */
  apply(vertices, shade) {
    if (!this.corners.length) return;
    const [upper, lower, left, right] = [0, 3, 6, 9].map((at) =>
      scaled(pointOn(vertices, this.corners.subarray(at, at + 3), this.bary.subarray(at, at + 3)), 1e3),
    );
    const height = Math.hypot(...subtract(upper, lower)), width = Math.hypot(...subtract(left, right));
    const area = (height + CLOSED) * width;
    const middle = scaled(add(add(upper, lower), add(left, right)), 0.25);
    const depth = Math.max(upper[2], lower[2]);
    const halfWidth = (CORE / 2) * width, halfHeight = (CORE / 2) * height;
    const indirect = (INDIRECT * area) / (area + INDIRECT_AREA);
    const { vertices: lit, normals } = this;
    for (let row = 0; row < lit.length; row++) {
      const vertex = lit[row];
      let x = middle[0] - 1e3 * vertices[3 * vertex], y = middle[1] - 1e3 * vertices[3 * vertex + 1];
      const z = depth - 1e3 * vertices[3 * vertex + 2];
      x -= clamp(x, -halfWidth, halfWidth);
      y -= clamp(y, -halfHeight, halfHeight);
      const distance = Math.sqrt(x * x + y * y + z * z), inverse = 1 / Math.max(distance, 1e-6);
      const cosine = inverse * (x * normals[3 * row] + y * normals[3 * row + 1] + z * normals[3 * row + 2]);
      const facing = Math.max((cosine + WRAP) / (1 + WRAP), 0);
      const squared = Math.max(distance - NEAR_TEETH, 0) ** 2;
      const direct = (area / (area + Math.PI * squared)) * facing * Math.max(z * inverse, SIDEWAYS);
      shade[vertex] *= Math.sqrt(indirect + (1 - indirect) * direct);
    }
  }
}

/** Shadow of the lids on the eyes. */
export class LidShadow {
  /** @param {AvatarContainer} container */
  constructor(container) {
    this.eyes = container.raw("layer.eyes");
    const count = 2 * 2 * LANDMARKS;
    this.corners = container.numbers("layer.lids.corners", [count, 3]);
    this.bary = container.numbers("layer.lids.bary", [count, 3]);
    this.fit = container.numbers("layer.lids.fit", [2, 2, DEGREES, LANDMARKS]);
    this.shadow = container.numbers("layer.lids.shadow", [2]);
    this.reach = container.numbers("layer.lids.reach", [2]);
  }

  /** Multiplies `shade` [V] by the shadow at posed vertices [V,3]. 
   * @param {Float32Array} vertices @param {Float32Array} shade */
  apply(vertices, shade) {
    for (let eye = 0; eye < 2; eye++) this.#applyTo(eye, vertices, shade);
  }

  /** @param {number} eye @param {Float32Array} vertices @param {Float32Array} shade */
  #applyTo(eye, vertices, shade) {
    const edges = Array.from({ length: 2 * LANDMARKS }, (_, k) => {
      const at = 3 * (eye * 2 * LANDMARKS + k);
      return scaled(pointOn(vertices, this.corners.subarray(at, at + 3), this.bary.subarray(at, at + 3)), 1e3);
    });
    const across = edges.map(([x]) => x);
    const low = Math.min(...across), high = Math.max(...across);
    const middle = 0.5 * (low + high), half = Math.max(0.5 * (high - low), 1);
    const polynomials = [0, 1].map((lid) => this.#polynomial(eye, lid, edges));
    const count = this.eyes.length / 2;
    for (let k = eye * count; k < (eye + 1) * count; k++) {
      const vertex = this.eyes[k];
      const t = clamp((1e3 * vertices[3 * vertex] - middle) / half, -1, 1);
      const y = 1e3 * vertices[3 * vertex + 1];
      for (let lid = 0; lid < 2; lid++) {
        const [c0, c1, c2, c3, c4] = polynomials[lid];
        const height = (((c4 * t + c3) * t + c2) * t + c1) * t + c0;
        const side = (lid ? 1e-3 : -1e-3) / this.reach[lid];
        shade[vertex] *= 1 - this.shadow[lid] * Math.exp(Math.min((height - y) * side, 0));
      }
    }
  }

  /** @param {number} eye @param {number} lid @param {number[][]} edges @returns {number[]} */
  #polynomial(eye, lid, edges) {
    return Array.from({ length: DEGREES }, (_, degree) => {
      const at = ((2 * eye + lid) * DEGREES + degree) * LANDMARKS;
      let sum = 0;
      for (let k = 0; k < LANDMARKS; k++) sum += this.fit[at + k] * edges[lid * LANDMARKS + k][1];
      return sum;
    });
  }
}
