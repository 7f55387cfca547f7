/** The mesh layer of a posed avatar, up to what the graphics card draws: lit vertices, and their place in the image. */
import { add, apply } from "./linear.js";
import { LidShadow, MouthLight } from "./mesh_light.js";
/** @import { AvatarContainer } from "../container/avatar_container.js" */
/** @import { Camera } from "./projection.js" */

const NEAR = 0.01; // meters
/** Side of the textures of the reflections, which span this many radii of the iris. */
const SPAN = 1;

/** The layer as seen by a camera.
 * @typedef {Object} LayerView
 * @property {number[]} rotation [9] skull frame -> camera
 * @property {number[]} translation [3]
 * @property {number} pixelsPerMeter at the mean depth of the layer; 0 where it is not in front of the camera
 * @property {number} depth mean depth, meters
 * @property {number[]} box left, top, right, bottom of its vertices in pixels
 * @property {number[]} reflections centers (2 x 2, pixels) and radii (2, pixels) */

/** Static arrays of the layer, as the worker passes them on.
 * @typedef {Object} LayerArrays
 * @property {Uint16Array} faces [T,3] vertices
 * @property {Uint16Array | Uint32Array} texelIds [T,15]
 * @property {Uint16Array} texels [X,3] half-precision colors
 * @property {Float32Array} fades [T,2] meters
 * @property {Uint16Array} skin [K,3] vertices
 * @property {Float32Array} reflections [2,16,16]
 * @property {number} vertexCount V */

export class PosedLayer {
  /** @param {AvatarContainer} container @param {number} vertexCount */
  constructor(container, vertexCount) {
    const { lids } = container.header.layer ?? {};
    const faces = container.raw("layer.faces");
    /** Corners of the faces by vertex, which weigh in the mean depth. */
    this.corners = new Uint16Array(vertexCount);
    for (const vertex of faces) this.corners[vertex]++;
    this.used = Uint16Array.from(new Set(faces));
    this.irises = container.raw("layer.irises");
    this.lights = [new MouthLight(container), ...(lids ? [new LidShadow(container)] : [])];
    this.shade = new Float32Array(vertexCount);
    this.vertexCount = vertexCount;
    /** @type {{center: number[], radius: number}[]} */
    this.irisSpots = [];
    /** Posed [V,3], skull frame. @type {Float32Array} */
    this.vertices = new Float32Array(0);
  }

  /** Lights posed vertices [V,3] of the skull frame. @param {Float32Array} vertices */
  pose(vertices) {
    this.vertices = vertices;
    this.shade.fill(1);
    for (const light of this.lights) light.apply(vertices, this.shade);
    this.irisSpots = [0, 1].map((eye) => this.#irisSpot(eye));
  }

  /** Center of an iris, and the radius of the texture of its reflections, meters.
   * @param {number} eye @returns {{center: number[], radius: number}} */
  #irisSpot(eye) {
    const count = this.irises.length / 2;
    const sum = [0, 0, 0], low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
    for (let k = eye * count; k < (eye + 1) * count; k++)
      for (let axis = 0; axis < 3; axis++) {
        const value = this.vertices[3 * this.irises[k] + axis];
        sum[axis] += value / count;
        low[axis] = Math.min(low[axis], value);
        high[axis] = Math.max(high[axis], value);
      }
    return { center: sum, radius: 0.5 * SPAN * Math.max(...high.map((value, axis) => value - low[axis]), 0) };
  }

  /** Writes position and shade of all vertices into `out` [V,4]. @param {Float32Array} [out] memory to use */
  writeVertices(out = new Float32Array(4 * this.vertexCount)) {
    for (let vertex = 0; vertex < this.vertexCount; vertex++) {
      out[4 * vertex] = this.vertices[3 * vertex];
      out[4 * vertex + 1] = this.vertices[3 * vertex + 1];
      out[4 * vertex + 2] = this.vertices[3 * vertex + 2];
      out[4 * vertex + 3] = this.shade[vertex];
    }
    return out;
  }

  /** @param {Camera} camera skull frame -> camera @returns {LayerView} */
  view(camera) {
    const { used, corners, vertices } = this;
    const { rotation: r, translation: t, fx, fy, cx, cy } = camera;
    let left = Infinity, top = Infinity, right = -Infinity, bottom = -Infinity, sum = 0, count = 0;
    for (let k = 0; k < used.length; k++) {
      const vertex = used[k], x = vertices[3 * vertex], y = vertices[3 * vertex + 1], z = vertices[3 * vertex + 2];
      const depth = r[6] * x + r[7] * y + r[8] * z + t[2];
      if (depth <= NEAR) continue;
      sum += corners[vertex] * depth;
      count += corners[vertex];
      const px = (fx * (r[0] * x + r[1] * y + r[2] * z + t[0])) / depth + cx;
      const py = (fy * (r[3] * x + r[4] * y + r[5] * z + t[1])) / depth + cy;
      if (px < left) left = px;
      if (px > right) right = px;
      if (py < top) top = py;
      if (py > bottom) bottom = py;
    }
    const depth = count ? sum / count : 0;
    return {
      rotation: r, translation: t, depth, pixelsPerMeter: count ? fx / depth : 0, box: [left, top, right, bottom],
      reflections: this.#reflections(camera),
    };
  }

  /** @param {Camera} camera */
  #reflections(camera) {
    const { rotation, translation } = camera;
    const spots = this.irisSpots.map(({ center, radius }) => {
      const [x, y, z] = add(apply(rotation, center), translation);
      const depth = Math.max(z, 1e-3);
      return [(camera.fx * x) / depth + camera.cx, (camera.fy * y) / depth + camera.cy, (radius * camera.fx) / depth];
    });
    return [spots[0][0], spots[0][1], spots[1][0], spots[1][1], spots[0][2], spots[1][2]];
  }
}
