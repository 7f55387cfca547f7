/** Frames that differ most in pose, mouth and eyes: the identity fit needs only those. */
import { clamp } from "../avatar/linear.js";
import { networkRotation } from "./initial_pose.js";
import { median } from "./robust.js";
/** @import { LandmarkModel } from "./landmark_model.js" */
/** @import { Pinhole } from "./linearization.js" */

/** Unit of each feature: yaw, pitch (radians), lip gap, mouth width, lid gap (inter-ocular distances). */
const UNITS = [0.12, 0.1, 0.12, 0.12, 0.06];

/** Distance in the image between two landmarks of `points` [478,3] pixels.
 * @param {Float32Array} points @param {number[]} pair */
export function imageDistance(points, [a, b]) {
  return Math.hypot(points[3 * a] - points[3 * b], points[3 * a + 1] - points[3 * b + 1]);
}

/** Yaw (to the subject's left) and pitch (up), radians, of where the face's +z axis points.
 * @param {number[]} rotation */
export function yawPitch(rotation) {
  return [Math.atan2(rotation[2], rotation[8]), Math.asin(clamp(rotation[5], -1, 1))];
}

/** The frames in which identity is fitted, that nearest to the median first; all where there are fewer than `count`.
 * @param {LandmarkModel} model
 * @param {Float32Array[]} frames landmarks [478,3] pixels @param {Pinhole} camera
 * @param {number} count
 * @returns {Float32Array[]} */
export function chooseKeyFrames(model, frames, camera, count) {
  const measured = frames.map((points) => featuresOf(model, points, camera));
  const usual = UNITS.map((_, column) => median(measured.map((row) => row[column])) || 0);
  // A feature whose landmarks are missing is taken for the usual one, but such a frame is no good start.
  const features = measured.map((row) => row.map((value, column) => (Number.isFinite(value) ? value : usual[column])));
  const fromMedian = features.map((row, k) => (
    distance(row, usual) + 1e3 * measured[k].filter((value) => !Number.isFinite(value)).length
  ));
  const chosen = [fromMedian.indexOf(Math.min(...fromMedian))];
  let apart = features.map((row) => distance(row, features[chosen[0]]));
  while (chosen.length < Math.min(count, frames.length)) {
    const next = apart.indexOf(Math.max(...apart));
    chosen.push(next);
    apart = apart.map((value, row) => Math.min(value, distance(features[row], features[next])));
  }
  return chosen.map((row) => frames[row]);
}

/** The quantile `part`, 0..1, of values, linear between two of them. @param {number[]} values @param {number} part */
export function quantile(values, part) {
  const sorted = Float64Array.from(values).sort();
  const place = part * (sorted.length - 1), low = Math.floor(place), high = Math.ceil(place);
  return sorted[low] + (place - low) * (sorted[high] - sorted[low]);
}

/** @param {LandmarkModel} model @param {Float32Array} points @param {Pinhole} camera */
function featuresOf(model, points, camera) {
  const { eye_corners: corners, lip_gap: lips, mouth_corners: mouth, right_lids, left_lids } = model.groups;
  const gap = (/** @type {number[]} */ pair) => imageDistance(points, pair) / imageDistance(points, corners);
  const lids = Math.min(gap(right_lids), gap(left_lids));
  const rotation = networkRotation(model, points, camera);
  const values = [...(rotation ? yawPitch(rotation) : [NaN, NaN]), gap(lips), gap(mouth), lids];
  return values.map((value, column) => value / UNITS[column]);
}

/** @param {number[]} a @param {number[]} b */
function distance(a, b) {
  return Math.hypot(...a.map((value, column) => value - b[column]));
}
