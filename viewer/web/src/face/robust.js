/** Landmarks that no pose and expression explain: on a hand, a microphone or hair, or missing (NaN), which have weight 0.
 * As capture/tracker/robust.py. */
import { multiply, transposed } from "../avatar/linear.js";
import { nearestRotation } from "./nearest_rotation.js";

/** An outlier is farther from the fit than this many medians, and than this fraction of the inter-ocular distance. */
const MEDIANS = 4, MIN_DISTANCE = 0.15;
/** Fraction of the landmarks that the error of a fit is measured on at least, and that must be seen. */
const MIN_KEPT = 0.7, MIN_SEEN = 0.3;
/** Repetitions of a fit without the outliers of the last one, at most; of the rotation's. */
const ROUNDS = 6, ROTATION_ROUNDS = 12;
/** Landmarks that determine a rotation, and the fraction of them that must agree with it. */
const MIN_POINTS = 4, MIN_AGREEING = 0.75;

/** Which landmarks a fit explains.
 * @param {Float64Array} distances of the landmarks from the fit, fractions of the inter-ocular distance; NaN where
 *   one is missing
 * @returns {boolean[]} */
export function inliers(distances) {
  const cutoff = Math.max(MIN_DISTANCE, MEDIANS * median(distances));
  return Array.from(distances, (distance) => distance <= cutoff);
}

/** Mean of the inliers of distances, or of most landmarks: a part of them can fit a face in a wrong pose. Infinite where
 * most landmarks are missing. @param {Float64Array} distances */
export function trimmedMean(distances) {
  const seen = distances.filter(Number.isFinite).sort();
  if (seen.length < MIN_SEEN * distances.length) return Infinity;
  const count = Math.max(inliers(seen).filter(Boolean).length, Math.ceil(MIN_KEPT * seen.length));
  return seen.subarray(0, count).reduce((sum, value) => sum + value, 0) / count;
}

/** The landmarks, `size` numbers each, of which those that are not `kept` are missing.
 * @template {Float32Array | Float64Array} T @param {T} points @param {boolean[]} kept @param {number} size @returns {T} */
export function without(points, kept, size) {
  const result = /** @type {T} */ (points.slice());
  kept.forEach((isKept, l) => { if (!isKept) result.fill(NaN, size * l, size * (l + 1)); });
  return result;
}

/** Fits landmarks, and again without those that the fit does not explain until these are the same.
 * @template {Float32Array | Float64Array} T @template R
 * @param {T} points landmarks, `size` numbers each @param {number} size
 * @param {(used: T) => R | null} fit @param {(result: R) => Float64Array} distancesOf of all landmarks from a fit
 * @returns {{result: R, used: T} | null} the last fit and its landmarks; null where they do not determine one */
export function fitWithoutOutliers(points, size, fit, distancesOf) {
  /** @type {boolean[] | null} */
  let kept = null;
  let used = points, found = null;
  for (let round = 0; round < ROUNDS; round++) {
    const result = fit(used);
    if (!result) return null;
    found = { result, used };
    const now = inliers(distancesOf(result));
    const last = /** @type {boolean[] | null} */ (kept);
    if (now.every(Boolean) || (last && now.every((value, l) => value === last[l]))) break;
    kept = now;
    used = without(points, now, size);
  }
  return found;
}

/** The rotation of the similarity transform between points, without outliers.
 * @param {number[][]} source @param {number[][]} target NaN where a point is missing
 * @param {number} floor distance in the unit of `source` up to which no point is an outlier
 * @returns {number[] | null} nine numbers by rows; null where too few points determine it, or agree with it */
export function rotationOfPoints(source, target, floor) {
  const seen = target.flatMap((point, k) => (point.every(Number.isFinite) ? [k] : []));
  if (seen.length < MIN_POINTS) return null;
  const from = seen.map((k) => source[k]), to = seen.map((k) => target[k]);
  let weights = seen.map(() => 1), rotation, agreeing = 0;
  for (let round = 0; round < ROTATION_ROUNDS; round++) {
    const [a, b] = [centered(from, weights), centered(to, weights)];
    const moments = new Array(9).fill(0);
    weights.forEach((weight, k) => {
      for (let entry = 0; entry < 9; entry++) moments[entry] += weight * b[k][Math.floor(entry / 3)] * a[k][entry % 3];
    });
    rotation = nearestRotation(moments);
    const product = multiply(transposed(rotation), moments);
    const extent = weights.reduce((sum, weight, k) => sum + weight * Math.hypot(...a[k]) ** 2, 0);
    const scale = (product[0] + product[4] + product[8]) / extent;
    const turn = rotation;
    const distances = a.map(([x, y, z], k) => Math.hypot(...b[k].map((value, axis) =>
      value / scale - turn[3 * axis] * x - turn[3 * axis + 1] * y - turn[3 * axis + 2] * z)));
    agreeing = distances.filter((distance) => distance <= floor).length / seen.length;
    if (agreeing === 1) break;
    // Geman and McClure's weights: they go to zero with the fourth power of the distance.
    const spread = Math.max(floor, median(distances));
    weights = distances.map((distance) => 1 / (1 + (distance / spread) ** 2) ** 2);
  }
  return agreeing >= MIN_AGREEING && rotation ? rotation : null;
}

/** Median of the finite values; NaN where there are none. @param {Iterable<number>} values */
export function median(values) {
  const sorted = Float64Array.from(values).filter(Number.isFinite).sort();
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}

/** @param {number[][]} points @param {number[]} weights */
function centered(points, weights) {
  const sum = weights.reduce((all, weight) => all + weight);
  const mean = [0, 1, 2].map((axis) => points.reduce((all, point, k) => all + weights[k] * point[axis], 0) / sum);
  return points.map((point) => point.map((value, axis) => value - mean[axis]));
}
