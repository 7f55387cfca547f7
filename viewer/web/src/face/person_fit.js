/** A person: identity, camera, and how the landmarks' depth is turned against the head model. */
import { solveFrame } from "./frame_fit.js";
import { fitIdentity, problemOf } from "./identity_fit.js";
import { initialState, networkRotation } from "./initial_pose.js";
import { chooseKeyFrames, imageDistance, quantile, yawPitch } from "./key_frames.js";
import { FACE_COUNT } from "./landmark_model.js";
import { multiply, transposed } from "../avatar/linear.js";
import { frameDistances, Linearization } from "./linearization.js";
import { nearestRotation } from "./nearest_rotation.js";
import { fitWithoutOutliers, inliers, median, trimmedMean, without } from "./robust.js";
/** @import { KeyFrame, SharedProblem } from "./identity_fit.js" */
/** @import { LandmarkModel } from "./landmark_model.js" */
/** @import { FaceState, FrameProblem, Pinhole } from "./linearization.js" */

/** Yaw in radians that the key frames must span before the focal length is estimated: with less, it and the depth of
 * the face are ambiguous. */
const RELEASE_SPAN = (40 * Math.PI) / 180;
/** Repetitions of the joint fit from the focal length found before; the first must reduce the error to this fraction.
 * They end where the focal length changes less than this. */
const REFITS = 4, CLEARLY_BETTER = 0.95, FOCAL_CHANGE = 0.02;
/** Joint fits without the outliers of the one before, at most; Gauss-Newton steps of a frame alone. */
const TRIMMED_FITS = 3, ALONE_ITERATIONS = 10;

/** @typedef {Object} Person
 * @property {FrameProblem} problem
 * @property {number[] | null} offset [9] rotation from the head model's axes to those of the landmarks' depth, where
 *   known
 * @property {number} interOcular pixels, typical of the frames */

/** Targets [468,2] in pixels of the landmarks [478,3] of a frame.
 * @param {Float32Array} points @returns {Float64Array} */
export function targetOf(points) {
  const target = new Float64Array(2 * FACE_COUNT);
  for (let l = 0; l < FACE_COUNT; l++) {
    target[2 * l] = points[3 * l];
    target[2 * l + 1] = points[3 * l + 1];
  }
  return target;
}

/** The person in frames.
 * @param {LandmarkModel} model
 * @param {Float32Array[]} frames landmarks [478,3] pixels
 * @param {Pinhole} camera a first one
 * @param {{focal: number, logSigma: number}} prior on its focal length
 * @returns {Person | null} null where the frames do not determine one */
export function fitPerson(model, frames, camera, prior) {
  const keys = chooseKeyFrames(model, frames, camera, model.options.learn.key_frames);
  const interOcular = median(keys.map((points) => imageDistance(points, model.groups.eye_corners)));
  const yaws = keys.flatMap((points) => {
    const rotation = networkRotation(model, points, camera);
    return rotation ? [yawPitch(rotation)[0]] : [];
  });
  const isReleased = yaws.length > 0 && quantile(yaws, 0.98) - quantile(yaws, 0.02) >= RELEASE_SPAN;
  const linearization = new Linearization(model, true);
  /** @param {Pinhole} first */
  const fit = (first) => fitKeyFrames(model, keys, { camera: first, ...prior, isReleased, interOcular }, linearization);
  const found = fit(camera);
  const best = found && isReleased ? refitted(found, fit) : found;
  return best && { problem: best.problem, offset: best.offset, interOcular };
}

/** @typedef {{problem: FrameProblem, offset: number[] | null, error: number}} JointFit */

/** Fits the key frames twice: the first fit gives the rotation between the axes of the landmarks' depth and the head's.
 * Again without outliers, where there are some.
 * @param {LandmarkModel} model @param {Float32Array[]} keys @param {SharedProblem} shared
 * @param {Linearization} linearization @returns {JointFit | null} */
function fitKeyFrames(model, keys, shared, linearization) {
  const { camera, interOcular } = shared;
  const targets = keys.map(targetOf);
  const framesOf = (/** @type {Float32Array[]} */ seen) => seen.map((points) => (
    { target: targetOf(points), rotation: networkRotation(model, points, camera), attitude: null }
  ));
  /** @param {{problem: FrameProblem, states: FaceState[]}} fit */
  const distancesOf = ({ problem, states }) => targets.map((target, k) => frameDistances(problem, states[k], target));
  const fitted = (/** @type {KeyFrame[]} */ frames) => fitIdentity(model, frames, shared, linearization);
  const isExplained = (/** @type {Float64Array[]} */ distances) => distances.every((row) => inliers(row).every(Boolean));
  let seen = keys, frames = framesOf(seen), found = fitted(frames);
  if (found && !isExplained(distancesOf(found))) {
    // Outliers of fits to each frame alone: the joint fit turns those into identity.
    const alone = new Linearization(model, false);
    const problem = problemOf(model, new Float64Array(model.identitySize), camera, interOcular);
    seen = keys.map((points, k) => fitWithoutOutliers(points, 3, (used) => {
      const target = targetOf(used), start = initialState(problem, target, networkRotation(model, used, camera));
      return start && solveFrame(problem, alone, start, { target, attitude: null }, ALONE_ITERATIONS, 0);
    }, (state) => frameDistances(problem, state, targets[k]))?.used ?? points);
    frames = framesOf(seen);
    found = fitted(frames);
  }
  for (let round = 0; found && round < TRIMMED_FITS; round++) {
    const offset = offsetOf(frames, found.states);
    found = fitted(frames.map((frame) => (
      { ...frame, attitude: frame.rotation && offset && multiply(frame.rotation, offset) }
    )));
    if (!found) break;
    const distances = distancesOf(found), kept = distances.map(inliers);
    const isLast = seen.every((points, k) => kept[k].every((value, l) => value === Number.isFinite(points[3 * l])));
    if (isLast || round + 1 === TRIMMED_FITS) {
      const error = distances.reduce((sum, row) => sum + trimmedMean(row), 0) / distances.length;
      return { problem: found.problem, offset, error };
    }
    seen = keys.map((points, k) => without(points, kept[k], 3));
    frames = framesOf(seen);
  }
  return null;
}

/** Rotation from the head's axes to those of the measured rotations; null where none is known.
 * @param {KeyFrame[]} frames @param {FaceState[]} states */
function offsetOf(frames, states) {
  const turns = frames.flatMap(({ rotation }, k) => (
    rotation ? [multiply(transposed(rotation), states[k].rotation)] : []
  ));
  return turns.length ? nearestRotation(turns.reduce((sum, turn) => sum.map((value, entry) => value + turn[entry]))) : null;
}

/** `found`, or a fit whose rotations are measured with the focal length it found, again and again.
 *
 * Away from the middle of the image the rotations depend on the focal length: measured with a wrong one they hold the
 * fit near it. The landmarks of a head in the middle hardly tell the fits apart; then `found` stays.
 * @param {JointFit} found @param {(camera: Pinhole) => JointFit | null} fit */
function refitted(found, fit) {
  let best = found;
  for (let round = 0; round < REFITS; round++) {
    const next = fit(best.problem.camera);
    if (!next || next.error > (best === found ? CLEARLY_BETTER * found.error : best.error)) break;
    const moved = Math.abs(Math.log(next.problem.camera.focal / best.problem.camera.focal));
    best = next;
    if (moved < FOCAL_CHANGE) break;
  }
  return best;
}
