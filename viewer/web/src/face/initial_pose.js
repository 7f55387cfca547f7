/** The pose of a face from nothing: rotation from the depth of the landmarks, then the best pose of a neutral face. */
import { factorCholesky, largest, solveCholesky } from "./dense.js";
import { multiply, rotationOf } from "../avatar/linear.js";
import { FACE_COUNT } from "./landmark_model.js";
import { frameDistances, placed } from "./linearization.js";
import { fitWithoutOutliers, inliers, median, rotationOfPoints, without } from "./robust.js";
/** @import { LandmarkModel } from "./landmark_model.js" */
/** @import { FaceState, FrameProblem, Pinhole } from "./linearization.js" */

/** Gauss-Newton steps, at most. */
const STEPS = 20;
/** Landmarks that determine a pose. */
const MIN_POINTS = 6;
/** Distance in meters of a stable landmark from the mean face up to which it is no outlier. */
const STABLE_DISTANCE = 0.02;
export const FACING = [1, 0, 0, 0, 1, 0, 0, 0, 1];

/** Rotation of the skull from the depth that the landmark network estimates.
 *
 * That depth is orthographic: pixels relative to the center of the face. Under perspective nearer points appear larger,
 * so each point moves along its camera ray to the depth of focal length plus its landmark depth.
 * @param {LandmarkModel} model
 * @param {Float32Array} points [478,3] pixels @param {Pinhole} camera
 * @returns {number[] | null} nine numbers by rows; null where too few landmarks determine it */
export function networkRotation(model, points, { focal, cx, cy }) {
  const { stable } = model.groups;
  const depths = stable.map((l) => points[3 * l + 2]).filter(Number.isFinite);
  const depth = depths.reduce((sum, value) => sum + value, 0) / depths.length;
  const seen = stable.map((l) => {
    const farther = 1 + (points[3 * l + 2] - depth) / focal;
    return [(points[3 * l] - cx) * farther, (cy - points[3 * l + 1]) * farther, -focal * farther];
  });
  const rest = stable.map((l) => Array.from(model.base.subarray(3 * l, 3 * l + 3)));
  return rotationOfPoints(rest, seen, STABLE_DISTANCE);
}

/** A neutral face in the pose that best fits landmarks.
 *
 * Minimizes the distance of each point from the camera ray of its landmark, in the plane of its depth: the cost of
 * SQPnP (Terzakis and Lourakis 2020). It is linear in the translation, so a start needs a rotation only.
 * @param {FrameProblem} problem
 * @param {Float64Array} target [468,2] pixels @param {number[] | null} start a first rotation,
 *   nine numbers by rows
 * @returns {FaceState | null} null where the landmarks do not determine it, or lie behind
 *   the camera */
export function initialState(problem, target, start) {
  const fit = (/** @type {Float64Array} */ seen) => neutralState(problem, seen, start ?? FACING);
  const distancesOf = (/** @type {FaceState} */ state) => frameDistances(problem, state, target);
  const first = fit(target);
  if (first && inliers(distancesOf(first)).every((isKept, l) => isKept || Number.isNaN(target[2 * l]))) return first;
  // Neighboring outliers, as on a hand, move the whole fit, but hardly that to a half of the face without them.
  const halves = halvesOf(problem.shape.neutral).map((half) => fit(without(target, half, 2)));
  const found = [first, ...halves].filter((state) => state !== null);
  if (!found.length) return null;
  const errors = found.map((state) => median(distancesOf(state)));
  const best = found[errors.indexOf(Math.min(...errors))];
  return fitWithoutOutliers(without(target, inliers(distancesOf(best)), 2), 2, fit, distancesOf)?.result ?? null;
}

/** Which landmarks of `neutral` [468,3] are on the left, on the right, above and below. @param {Float64Array} neutral */
function halvesOf(neutral) {
  return [0, 1].flatMap((axis) => {
    const values = Array.from({ length: FACE_COUNT }, (_, l) => neutral[3 * l + axis]);
    const above = values.map((value) => value > median(values));
    return [above, above.map((value) => !value)];
  });
}

/** The pose that fits the landmarks that are not missing.
 * @param {FrameProblem} problem @param {Float64Array} target @param {number[]} rotation
 * @returns {FaceState | null} */
export function neutralState({ model, shape, camera }, target, rotation) {
  let translation = [0, 0, 0];
  for (let round = 0; round < STEPS; round++) {
    const step = rayStep(shape.neutral, camera, target, rotation, translation);
    if (!step) return null;
    rotation = multiply(rotationOf([step[0], step[1], step[2]]), rotation);
    translation = translation.map((value, axis) => value + step[3 + axis]);
    if (largest(step) < 1e-9) break;
  }
  if (!(translation[2] < 0)) return null;
  return { rotation, translation, expression: new Float64Array(model.expressionCount) };
}

/** Gauss-Newton step [6] of rotation and translation; null where it is not determined.
 * @param {Float64Array} neutral @param {Pinhole} camera @param {Float64Array} target @param {number[]} rotation
 * @param {number[]} translation @returns {Float64Array | null} */
function rayStep(neutral, { focal, cx, cy }, target, rotation, translation) {
  const matrix = new Float64Array(36), step = new Float64Array(6);
  let count = 0;
  for (let l = 0; l < FACE_COUNT; l++) {
    if (!Number.isFinite(target[2 * l] + target[2 * l + 1])) continue;
    count += 1;
    const place = placed(rotation, translation, neutral, l);
    const [x, y, z] = place.map((value, axis) => value - translation[axis]);
    for (let row = 0; row < 2; row++) {
      // The ray is (slope of x, slope of y, -1); a point's distance from it across is value + slope * z.
      const slope = (row ? cy - target[2 * l + 1] : target[2 * l] - cx) / focal;
      const jacobian = row ? [y * slope - z, -x * slope, x, 0, 1, slope] : [y * slope, z - x * slope, -y, 1, 0, slope];
      const residual = place[row] + slope * place[2];
      for (let i = 0; i < 6; i++) {
        step[i] -= jacobian[i] * residual;
        for (let j = 0; j <= i; j++) matrix[6 * i + j] += jacobian[i] * jacobian[j];
      }
    }
  }
  if (count < MIN_POINTS || !factorCholesky(matrix, 6)) return null;
  solveCholesky(matrix, 6, step);
  return step;
}
