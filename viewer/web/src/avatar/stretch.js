/** The stretch of the posed mesh against the template, at the vertices whose Gaussians follow it. */
/** @import { AvatarContainer } from "../container/avatar_container.js" */
/** @import { StoredNumbers } from "../container/container.js" */

const FLAT_AREA2 = 1e-8;

export class Stretch {
  /** @param {AvatarContainer} container @param {Float32Array} template [V,3] */
  constructor(container, template) {
    this.faces = container.raw("gaussians.stretch_faces");
    const count = this.faces.length / 3;
    /** Inverse of the neutral edges in the frame of each face: 00, 01, 11. */
    this.inverse = new Float32Array(3 * count);
    /** Weight of each face in the mean at each of its corners. */
    this.weights = new Float32Array(3 * count);
    /** Symmetric tensors [V,6]: xx, xy, xz, yy, yz, zz. */
    this.tensors = new Float32Array(2 * template.length);
    this.#prepare(template, container.raw("gaussians.stretches"));
  }

  /** @param {Float32Array} template @param {StoredNumbers} stretches */
  #prepare(template, stretches) {
    const { faces } = this;
    const totals = new Float64Array(stretches.length);
    const areas = new Float64Array(faces.length / 3);
    for (let face = 0; face < areas.length; face++) {
      const [a, b, c] = [0, 1, 2].map((k) => template.subarray(3 * faces[3 * face + k], 3 * faces[3 * face + k] + 3));
      const first = [b[0] - a[0], b[1] - a[1], b[2] - a[2]], second = [c[0] - a[0], c[1] - a[1], c[2] - a[2]];
      const length = Math.hypot(...first);
      const along = (first[0] * second[0] + first[1] * second[1] + first[2] * second[2]) / length;
      const height = Math.hypot(...second.map((value, k) => value - (first[k] / length) * along));
      this.inverse.set([1 / length, -along / (length * height), 1 / height], 3 * face);
      areas[face] = (length * height) / 2;
      for (let k = 0; k < 3; k++) totals[faces[3 * face + k]] += areas[face];
    }
    for (let corner = 0; corner < faces.length; corner++)
      this.weights[corner] = stretches[faces[corner]] ? areas[Math.floor(corner / 3)] / totals[faces[corner]] : 0;
  }

  /** Computes `tensors` for posed vertices [V,3]; see `vertex_stretch` in avatar/reference/stretch.py.
   * @param {Float32Array} vertices */
  measure(vertices) {
    const { faces, inverse, weights, tensors } = this;
    tensors.fill(0);
    for (let at = 0; at < faces.length; at += 3) {
      const a = 3 * faces[at], b = 3 * faces[at + 1], c = 3 * faces[at + 2];
      const ax = vertices[a], ay = vertices[a + 1], az = vertices[a + 2];
      const ux = vertices[b] - ax, uy = vertices[b + 1] - ay, uz = vertices[b + 2] - az;
      const i00 = inverse[at], i01 = inverse[at + 1], i11 = inverse[at + 2];
      const px = ux * i00, py = uy * i00, pz = uz * i00;
      const qx = ux * i01 + (vertices[c] - ax) * i11;
      const qy = uy * i01 + (vertices[c + 1] - ay) * i11;
      const qz = uz * i01 + (vertices[c + 2] - az) * i11;
      const nx = py * qz - pz * qy, ny = pz * qx - px * qz, nz = px * qy - py * qx;
      const flat = 4 / (nx * nx + ny * ny + nz * nz + FLAT_AREA2);
      const pp = 7 + px * px + py * py + pz * pz, qq = 7 + qx * qx + qy * qy + qz * qz;
      const pq = px * qx + py * qy + pz * qz;
      const scale = 32 / (pp * qq - pq * pq);
      const wp = scale * qq, wq = scale * pp, wx = -scale * pq;
      const xx = (wp * px * px + 2 * wx * px * qx + wq * qx * qx - 4 + flat * nx * nx) / 7;
      const xy = (wp * px * py + wx * (px * qy + py * qx) + wq * qx * qy + flat * nx * ny) / 7;
      const xz = (wp * px * pz + wx * (px * qz + pz * qx) + wq * qx * qz + flat * nx * nz) / 7;
      const yy = (wp * py * py + 2 * wx * py * qy + wq * qy * qy - 4 + flat * ny * ny) / 7;
      const yz = (wp * py * pz + wx * (py * qz + pz * qy) + wq * qy * qz + flat * ny * nz) / 7;
      const zz = (wp * pz * pz + 2 * wx * pz * qz + wq * qz * qz - 4 + flat * nz * nz) / 7;
      for (let k = 0; k < 3; k++) {
        const weight = weights[at + k];
        if (!weight) continue;
        const out = 6 * faces[at + k];
        tensors[out] += weight * xx;
        tensors[out + 1] += weight * xy;
        tensors[out + 2] += weight * xz;
        tensors[out + 3] += weight * yy;
        tensors[out + 4] += weight * yz;
        tensors[out + 5] += weight * zz;
      }
    }
  }
}
