/** The camera of a 3D scene, in the conventions of OpenGL and three.js, as a pinhole camera of the player. */
import { cross, finite, scaled } from "../avatar/linear.js";
/** @import { Camera } from "../avatar/projection.js" */

const MAX_SIDE = 4096; // pixels
const IDENTITY = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
const TOLERANCE = 1e-3; // relative, of what is rounded to single precision

/** A perspective camera of a scene that the avatar stands in. Matrices have 16 numbers by columns, as `elements` of
 * three.js; the camera looks along its negative z axis, y up.
 * @typedef {Object} SceneCamera
 * @property {ArrayLike<number>} view [16] scene -> camera
 * @property {ArrayLike<number>} projection [16] camera -> clip space
 * @property {ArrayLike<number>} [model] [16] the avatar's space (meters, y up) -> scene: rotation, translation and a
 *   scale that is the same along all axes; omitted: the same space
 * @property {number} width pixels, whole
 * @property {number} height */

/** A copy of a scene's camera, checked. @param {SceneCamera} camera @returns {SceneCamera} */
export function checkedScene({ view, model = IDENTITY, projection, width, height }) {
  const copy = (/** @type {ArrayLike<number>} */ matrix) => Array.from({ length: 16 }, (_, k) => finite(matrix?.[k]));
  for (const side of [width, height])
    if (!(Number.isInteger(side) && side >= 1 && side <= MAX_SIDE))
      throw new TypeError(`expected a width and a height of 1 to ${MAX_SIDE} whole pixels, got ${side}`);
  return { view: copy(view), model: copy(model), projection: copy(projection), width, height };
}

/** The camera of the player that sees what a scene's camera sees; `scene` is that camera.
 * @param {SceneCamera} scene checked @returns {Camera & {scene: SceneCamera}} */
export function pinholeOf(scene) {
  const { view, model = IDENTITY, projection: p, width, height } = scene;
  const others = [p[1], p[2], p[3], p[4], p[6], p[7], p[15], p[11] + 1];
  if (!(p[0] > 0 && p[5] > 0 && others.every((value) => Math.abs(value) < TOLERANCE)))
    throw new TypeError("expected the projection matrix of a perspective camera, as THREE.PerspectiveCamera has it");
  const m = product(view, model);
  const scale = scaleOf(m);
  return {
    fx: (p[0] * width) / 2,
    fy: (p[5] * height) / 2,
    cx: ((1 - p[8]) * width) / 2,
    cy: ((1 + p[9]) * height) / 2,
    // The player's camera looks along its positive z axis, y down. Depths of the avatar's size, not of the scene's.
    rotation: scaled([m[0], m[4], m[8], -m[1], -m[5], -m[9], -m[2], -m[6], -m[10]], 1 / scale),
    translation: scaled([m[12], -m[13], -m[14]], 1 / scale),
    width,
    height,
    scene,
  };
}

/** Product of two matrices of 16 numbers by columns. @param {ArrayLike<number>} a @param {ArrayLike<number>} b
 * @returns {number[]} */
function product(a, b) {
  return Array.from({ length: 16 }, (_, k) => {
    const row = k % 4, column = k - row;
    return a[row] * b[column] + a[row + 4] * b[column + 1] + a[row + 8] * b[column + 2] + a[row + 12] * b[column + 3];
  });
}

/** The scale of a similarity transform of 16 numbers by columns. @param {number[]} m */
function scaleOf(m) {
  const columns = [0, 4, 8].map((at) => m.slice(at, at + 3));
  /** @type {(a: number[], b: number[]) => number} */
  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  const [x, y, z] = columns;
  const square = dot(x, x);
  const others = [dot(y, y) - square, dot(z, z) - square, dot(x, y), dot(y, z), dot(z, x)];
  const isRight = dot(x, cross(y, z)) > 0;
  const isAffine = Math.hypot(m[3], m[7], m[11], m[15] - 1) < TOLERANCE;
  if (!(isRight && isAffine && others.every((value) => Math.abs(value) < 2 * TOLERANCE * square)))
    throw new TypeError("expected view and model of rotation, translation and one positive scale for all axes");
  return Math.sqrt(square);
}
