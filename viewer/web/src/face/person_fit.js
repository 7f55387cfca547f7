/** A person: identity, camera, and how the landmarks' depth is turned against the head model. */
import { fitIdentity } from "./identity_fit.js";
import { networkRotation } from "./initial_pose.js";
import { chooseKeyFrames, imageDistance, quantile, yawPitch } from "./key_frames.js";
import { FACE_COUNT } from "./landmark_model.js";
import { multiply, transposed } from "../avatar/linear.js";
import { frameError, Linearization } from "./linearization.js";
import { nearestRotation } from "./nearest_rotation.js";
/** @import { SharedProblem } from "./identity_fit.js" */
/** @import { LandmarkModel } from "./landmark_model.js" */
/** @import { FrameProblem, Pinhole } from "./linearization.js" */

/** Yaw in radians that the key frames must span before the focal length is estimated: with less, it and the depth of
 * the face are ambiguous. */
const RELEASE_SPAN = (40 * Math.PI) / 180;
/** Repetitions of the joint fit from the focal length found before; the first must reduce the error to this fraction.
 * They end where the focal length changes less than this. */
const REFITS = 4, CLEARLY_BETTER = 0.95, FOCAL_CHANGE = 0.02;

/** @typedef {Object} Person
 * @property {FrameProblem} problem
 * @property {number[]} offset [9] rotation from the head model's axes to those of the landmarks' depth
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
  const interOcular = quantile(keys.map((points) => imageDistance(points, model.groups.eye_corners)), 0.5);
  const yaws = keys.map((points) => yawPitch(networkRotation(model, points, camera))[0]);
  const isReleased = quantile(yaws, 0.98) - quantile(yaws, 0.02) >= RELEASE_SPAN;
  const linearization = new Linearization(model, true);
  /** @param {Pinhole} first */
  const fit = (first) => fitKeyFrames(model, keys, { camera: first, ...prior, isReleased, interOcular }, linearization);
  const found = fit(camera);
  const best = found && isReleased ? refitted(found, fit) : found;
  return best && { problem: best.problem, offset: best.offset, interOcular };
}

/** @typedef {{problem: FrameProblem, offset: number[], error: number}} JointFit */

/** Fits the key frames twice: the first fit gives the rotation between the axes of the landmarks' depth and the head's.
 * @param {LandmarkModel} model @param {Float32Array[]} keys @param {SharedProblem} shared
 * @param {Linearization} linearization @returns {JointFit | null} */
function fitKeyFrames(model, keys, shared, linearization) {
  const frames = keys.map((points) => (
    { target: targetOf(points), rotation: networkRotation(model, points, shared.camera), attitude: null }
  ));
  const first = fitIdentity(model, frames, shared, linearization);
  if (!first) return null;
  const turns = frames.map(({ rotation }, k) => multiply(transposed(rotation), first.states[k].rotation));
  const offset = nearestRotation(turns.reduce((sum, turn) => sum.map((value, entry) => value + turn[entry])));
  const measured = frames.map((frame) => ({ ...frame, attitude: multiply(frame.rotation, offset) }));
  const second = fitIdentity(model, measured, shared, linearization);
  if (!second) return null;
  const { problem, states } = second;
  const errors = frames.map(({ target }, k) => frameError(problem, states[k], target));
  return { problem, offset, error: errors.reduce((sum, value) => sum + value) / errors.length };
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
