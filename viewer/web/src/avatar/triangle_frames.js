/** Frames of the triangles that carry Gaussians, several of which share a triangle, and which of them have moved. */
/** @import { StoredNumbers } from "../container/container.js" */

export class TriangleFrames {
  /** @param {StoredNumbers} triangles [N,3] vertices of the triangle of each Gaussian @param {number} vertexCount */
  constructor(triangles, vertexCount) {
    const numbers = new Map(), corners = [];
    /** Number of the frame of each Gaussian. */
    this.numbers = new Uint16Array(triangles.length / 3);
    for (let i = 0; i < this.numbers.length; i++) {
      const a = triangles[3 * i], b = triangles[3 * i + 1], c = triangles[3 * i + 2];
      const key = (a * vertexCount + b) * vertexCount + c;
      if (!numbers.has(key)) {
        numbers.set(key, numbers.size);
        corners.push(a, b, c);
      }
      this.numbers[i] = numbers.get(key);
    }
    this.corners = Uint16Array.from(corners);
    /** Rotations [F,3,3] by rows, triangle -> skull frame: columns are edge e, tangent t = n x e and normal n. */
    this.rotations = new Float32Array(3 * corners.length);
    /** Whether a triangle [F] has moved in the last call of `measure`. */
    this.hasMoved = new Uint8Array(corners.length / 3);
    this.last = new Float32Array(3 * vertexCount).fill(NaN);
    this.vertexMoved = new Uint8Array(vertexCount);
  }

  /** Measures the frames of posed vertices [V,3] of the skull frame. @param {Float32Array} vertices */
  measure(vertices) {
    const { corners, hasMoved, last, vertexMoved } = this;
    for (let vertex = 0, at = 0; vertex < vertexMoved.length; vertex++, at += 3) {
      const isStill = vertices[at] === last[at] && vertices[at + 1] === last[at + 1];
      vertexMoved[vertex] = isStill && vertices[at + 2] === last[at + 2] ? 0 : 1;
    }
    last.set(vertices);
    for (let face = 0, at = 0; face < hasMoved.length; face++, at += 3) {
      hasMoved[face] = vertexMoved[corners[at]] | vertexMoved[corners[at + 1]] | vertexMoved[corners[at + 2]];
      if (hasMoved[face]) this.#measure(face, vertices);
    }
  }

  /** @param {number} face @param {Float32Array} vertices */
  #measure(face, vertices) {
    const { corners, rotations } = this;
    const a = 3 * corners[3 * face], b = 3 * corners[3 * face + 1], c = 3 * corners[3 * face + 2], to = 9 * face;
    const ax = vertices[a], ay = vertices[a + 1], az = vertices[a + 2];
    const ux = vertices[c] - ax, uy = vertices[c + 1] - ay, uz = vertices[c + 2] - az;
    let ex = vertices[b] - ax, ey = vertices[b + 1] - ay, ez = vertices[b + 2] - az;
    let nx = ey * uz - ez * uy, ny = ez * ux - ex * uz, nz = ex * uy - ey * ux;
    let factor = 1 / Math.max(Math.sqrt(ex * ex + ey * ey + ez * ez), 1e-12);
    ex *= factor; ey *= factor; ez *= factor;
    factor = 1 / Math.max(Math.sqrt(nx * nx + ny * ny + nz * nz), 1e-12);
    nx *= factor; ny *= factor; nz *= factor;
    rotations[to] = ex;
    rotations[to + 1] = ny * ez - nz * ey;
    rotations[to + 2] = nx;
    rotations[to + 3] = ey;
    rotations[to + 4] = nz * ex - nx * ez;
    rotations[to + 5] = ny;
    rotations[to + 6] = ez;
    rotations[to + 7] = nx * ey - ny * ex;
    rotations[to + 8] = nz;
  }
}
