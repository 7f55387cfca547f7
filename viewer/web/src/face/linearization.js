/** The reprojection error of a frame, linearized: residuals and Jacobian with the Huber loss as weights.
 *
 * World axes (y up, the face along +z), a pinhole camera at the origin along -z. Residuals are in hundredths of the
 * inter-ocular distance. Unknowns: rotation step (left, `R <- exp(w) R`), translation in meters, expressions; with
 * identity also its coefficients and the logarithm of the focal length. */
import { gramOf, paddedCount } from "./dense.js";
import { FACE_COUNT } from "./landmark_model.js";
import { nonlinearDerivatives, posedLandmarks } from "./posed_landmarks.js";
/** @import { LandmarkModel, PersonShape } from "./landmark_model.js" */
/** @import { PosedLandmarks } from "./posed_landmarks.js" */

/** Unknowns of the pose; expressions follow. */
export const POSE = 6;
const ROWS = 2 * FACE_COUNT;

/** @typedef {{focal: number, cx: number, cy: number}} Pinhole pixels */
/** A frame's problem: person and camera.
 * @typedef {{model: LandmarkModel, shape: PersonShape,
 *   camera: Pinhole, unit: number}} FrameProblem unit: pixels per unit of the residual */
/** @typedef {{rotation: number[], translation: number[], expression: Float64Array}} FaceState [9] by rows; [3] meters;
 *   [E] */

/** Jacobian and Gauss-Newton products of frames, one after another, in the same memory. */
export class Linearization {
  /** @param {LandmarkModel} model @param {boolean} withIdentity */
  constructor(model, withIdentity) {
    this.local = POSE + model.expressionCount;
    this.shared = withIdentity ? model.identitySize + 1 : 0;
    /** Row of `products` with the gradient: the residual is the last column. */
    this.residual = this.local + this.shared;
    this.size = paddedCount(this.residual + 1);
    this.columns = new Float64Array(this.size * ROWS);
    this.products = new Float64Array(this.size * this.size);
    this.perSkull = new Float64Array(ROWS * 3); // residual per meter of a landmark in the skull frame
    this.perRest = new Float64Array(ROWS * 3); // the same before the jaw rotates
  }

  /** Linearizes at `state`; `products` are then those of all pairs of columns.
   * @param {FrameProblem} problem @param {FaceState} state
   * @param {Float64Array} target [468,2] measured landmarks, pixels */
  at(problem, state, target) {
    const { model, shape } = problem;
    const posed = posedLandmarks(model, shape, state.expression);
    for (let l = 0; l < FACE_COUNT; l++) this.#writePose(problem, state, posed, target, l);
    const bent = nonlinearDerivatives(model, posed, state.expression);
    const { expressionBasis, identityBasis, jaw } = model;
    for (let e = 0; e < model.expressionCount; e++) this.#writeColumn(POSE + e, this.perRest, expressionBasis, e);
    bent.forEach((derivative, m) => this.#addColumn(POSE + jaw.nonlinear[m], this.perSkull, derivative));
    for (let s = 0; s + 1 < this.shared; s++) this.#writeColumn(this.local + s, this.perRest, identityBasis, s);
    gramOf(this.columns, this.size, ROWS, this.products);
  }

  /** Columns of the pose, the focal length and the residual, and the factors of all others, for one landmark.
   * @param {FrameProblem} problem @param {FaceState} state @param {PosedLandmarks} posed
   * @param {Float64Array} target @param {number} l */
  #writePose({ model, camera, unit }, { rotation, translation }, { points, change }, target, l) {
    const place = placed(rotation, translation, points, l);
    const [x, y, z] = place, inverse = -1 / z;
    let right = (camera.cx + camera.focal * x * inverse - target[2 * l]) / unit;
    let down = (camera.cy - camera.focal * y * inverse - target[2 * l + 1]) / unit;
    let robust = Math.min(1, model.options.fit.huber / Math.max(Math.hypot(right, down), 1e-9));
    if (!Number.isFinite(right + down)) right = down = robust = 0; // missing
    const weight = Math.sqrt(model.weights[l] * robust), scale = (weight * camera.focal * inverse) / unit;
    const jaw = change.map((entry) => model.jaw.skinningWeights[l] * entry);
    for (const entry of [0, 4, 8]) jaw[entry] += 1;
    const perWorld = [scale, 0, scale * x * inverse, 0, -scale, -scale * y * inverse];
    const arm = place.map((value, axis) => value - translation[axis]);
    for (let row = 0; row < 2; row++) {
      const at = 2 * l + row, per = perWorld.slice(3 * row, 3 * row + 3);
      for (let axis = 0; axis < 3; axis++) {
        const b = (axis + 1) % 3, c = (axis + 2) % 3;
        // d(exp(w) p)/dw = -[p]x; a row vector a times -[p]x is p x a.
        this.columns[axis * ROWS + at] = arm[b] * per[c] - arm[c] * per[b];
        this.columns[(3 + axis) * ROWS + at] = per[axis];
      }
      writeProduct(this.perSkull, 3 * at, per, rotation);
      writeProduct(this.perRest, 3 * at, this.perSkull.subarray(3 * at, 3 * at + 3), jaw);
      this.columns[this.residual * ROWS + at] = weight * (row ? down : right);
      if (this.shared) this.columns[(this.residual - 1) * ROWS + at] = scale * (row ? -y : x);
    }
  }

  /** Sets a column to `factors` [468,2,3] times row `index` of `basis` [n,468,3].
   * @param {number} column @param {Float64Array} factors @param {Float64Array} basis @param {number} index */
  #writeColumn(column, factors, basis, index) {
    this.columns.fill(0, column * ROWS, (column + 1) * ROWS);
    this.#addColumn(column, factors, basis.subarray(index * 3 * FACE_COUNT, (index + 1) * 3 * FACE_COUNT));
  }

  /** @param {number} column @param {Float64Array} factors @param {Float64Array} offsets */
  #addColumn(column, factors, offsets) {
    const out = this.columns, start = column * ROWS;
    for (let l = 0; l < FACE_COUNT; l++) {
      const x = offsets[3 * l], y = offsets[3 * l + 1], z = offsets[3 * l + 2], at = 6 * l;
      out[start + 2 * l] += factors[at] * x + factors[at + 1] * y + factors[at + 2] * z;
      out[start + 2 * l + 1] += factors[at + 3] * x + factors[at + 4] * y + factors[at + 5] * z;
    }
  }
}

/** Distances [468] of the landmarks from `target` [468,2] pixels, as fractions of the inter-ocular distance; NaN where
 * one is missing.
 * @param {FrameProblem} problem @param {FaceState} state @param {Float64Array} target */
export function frameDistances({ model, shape, camera, unit }, { rotation, translation, expression }, target) {
  const { points } = posedLandmarks(model, shape, expression);
  return Float64Array.from({ length: FACE_COUNT }, (_, l) => {
    const [x, y, z] = placed(rotation, translation, points, l);
    const right = camera.cx - (camera.focal * x) / z - target[2 * l];
    return Math.hypot(right, camera.cy + (camera.focal * y) / z - target[2 * l + 1]) / (100 * unit);
  });
}

/** Size of a fitted face, as the distance in pixels between two of its landmarks.
 * @param {FrameProblem} problem @param {FaceState} state @param {number[]} pair */
export function fittedSize({ model, shape, camera }, { rotation, translation, expression }, pair) {
  const { points } = posedLandmarks(model, shape, expression);
  const [a, b] = pair.map((l) => placed(rotation, translation, points, l));
  return camera.focal * Math.hypot(a[0] / a[2] - b[0] / b[2], a[1] / a[2] - b[1] / b[2]);
}

/** World position of landmark number `l` of `points` [n,3].
 * @param {number[]} rotation @param {number[]} translation @param {Float64Array} points @param {number} l
 * @returns {number[]} meters */
export function placed(rotation, translation, points, l) {
  const x = points[3 * l], y = points[3 * l + 1], z = points[3 * l + 2];
  return [
    rotation[0] * x + rotation[1] * y + rotation[2] * z + translation[0],
    rotation[3] * x + rotation[4] * y + rotation[5] * z + translation[1],
    rotation[6] * x + rotation[7] * y + rotation[8] * z + translation[2],
  ];
}

/** Writes a row vector times a matrix into `out` at `start`.
 * @param {Float64Array} out @param {number} start @param {Iterable<number>} row @param {number[]} matrix */
function writeProduct(out, start, [x, y, z], matrix) {
  for (let axis = 0; axis < 3; axis++)
    out[start + axis] = x * matrix[axis] + y * matrix[3 + axis] + z * matrix[6 + axis];
}
