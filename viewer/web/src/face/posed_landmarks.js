/** Landmarks of a person under expressions: offsets, curves and correctives, then the jaw rotates about its hinge. */
import { addRow } from "./dense.js";
import { cross, multiply, rotationOf } from "../avatar/linear.js";
import { FACE_COUNT } from "./landmark_model.js";
/** @import { LandmarkModel, PersonShape } from "./landmark_model.js" */

/** @typedef {Object} PosedLandmarks
 * @property {Float64Array} points [468,3] skull frame
 * @property {Float64Array} arms [468,3] from the hinge, before the rotation
 * @property {number[]} change [9] rotation of the jaw less the identity
 * @property {number[]} vector [3] that rotation, axis-angle
 */

/** The landmarks for expressions `weights`.
 * @param {LandmarkModel} model
 * @param {PersonShape} shape
 * @param {Float64Array} weights [E]
 * @returns {PosedLandmarks} */
export function posedLandmarks(model, { neutral, anchors }, weights) {
  const { skinningWeights, nonlinear, directions, curves, correctives } = model.jaw;
  const arms = neutral.slice(), vector = [0, 0, 0];
  for (let e = 0; e < weights.length; e++) if (weights[e] !== 0) addRow(arms, model.expressionBasis, e, weights[e]);
  nonlinear.forEach((expression, m) => {
    const weight = weights[expression];
    for (let axis = 0; axis < 3; axis++) vector[axis] += directions[3 * m + axis] * weight;
    addRow(arms, curves, m, 4 * weight * (1 - weight));
  });
  const change = rotationOf(vector);
  for (const entry of [0, 4, 8]) change[entry] -= 1;
  for (let k = 0; k < correctives.length / arms.length; k++) addRow(arms, correctives, k, change[k]);
  const points = new Float64Array(arms.length);
  for (let l = 0; l < FACE_COUNT; l++) {
    for (let axis = 0; axis < 3; axis++) {
      points[3 * l + axis] = arms[3 * l + axis];
      arms[3 * l + axis] -= anchors[0][axis];
    }
    addRotated(points, l, change, arms, skinningWeights[l]);
  }
  return { points, arms, change, vector };
}

/** Derivatives of the landmarks by the weight of each expression in `model.jaw.nonlinear`, without their linear part.
 *
 * d exp(v) = [J(v) dv]x exp(v) with the left Jacobian J of SO(3) (Barfoot, "State Estimation for Robotics", 7.1).
 * @param {LandmarkModel} model
 * @param {PosedLandmarks} posed @param {Float64Array} weights [E]
 * @returns {Float64Array[]} [M] of [468,3] */
export function nonlinearDerivatives(model, { arms, change, vector }, weights) {
  const { skinningWeights, nonlinear, directions, curves, correctives } = model.jaw;
  const rotation = rotationOf(vector);
  return Array.from(nonlinear, (expression, m) => {
    const spin = crossed(turned(vector, directions.subarray(3 * m, 3 * m + 3)), rotation);
    const bent = new Float64Array(arms.length), out = new Float64Array(arms.length);
    addRow(bent, curves, m, 4 * (1 - 2 * weights[expression]));
    for (let k = 0; k < correctives.length / arms.length; k++) addRow(bent, correctives, k, spin[k]);
    for (let l = 0; l < FACE_COUNT; l++) {
      for (let axis = 0; axis < 3; axis++) out[3 * l + axis] = bent[3 * l + axis];
      addRotated(out, l, change, bent, skinningWeights[l]);
      addRotated(out, l, spin, arms, skinningWeights[l]);
    }
    return out;
  });
}

/** Adds `weight` times matrix times vector number `l` of `vectors` to that of `out`.
 * @param {Float64Array} out @param {number} l @param {number[]} matrix @param {Float64Array} vectors
 * @param {number} weight */
function addRotated(out, l, matrix, vectors, weight) {
  const x = vectors[3 * l], y = vectors[3 * l + 1], z = vectors[3 * l + 2];
  for (let axis = 0; axis < 3; axis++)
    out[3 * l + axis] += weight * (matrix[3 * axis] * x + matrix[3 * axis + 1] * y + matrix[3 * axis + 2] * z);
}

/** The left Jacobian of the rotation `vector` times `direction`.
 * @param {number[]} vector @param {Float64Array} direction @returns {number[]} */
function turned(vector, direction) {
  const angle = Math.hypot(...vector);
  const once = cross(vector, direction), twice = cross(vector, once);
  const first = angle < 1e-6 ? 0.5 : (1 - Math.cos(angle)) / angle ** 2;
  const second = angle < 1e-6 ? 0 : (angle - Math.sin(angle)) / angle ** 3;
  return [0, 1, 2].map((axis) => direction[axis] + first * once[axis] + second * twice[axis]);
}

/** Matrix whose columns are `vector` x the columns of `matrix`. @param {number[]} vector @param {number[]} matrix */
function crossed([x, y, z], matrix) {
  return multiply([0, -z, y, z, 0, -x, -y, x, 0], matrix);
}
