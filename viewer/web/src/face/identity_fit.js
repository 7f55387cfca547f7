/** Identity and focal length from key frames jointly.
 *
 * A joint Gauss-Newton over the key frames; pose and expression of each are eliminated by Schur complement, so the
 * normal equations have only the size of the identity (Triggs et al. 2000, "Bundle adjustment", section 6). */
import { factorCholesky, largest, solveCholesky } from "./dense.js";
import { addAttitude, normalEquations, POSE_FLOOR, turnBetween, updatedState } from "./frame_fit.js";
import { FACING, neutralState } from "./initial_pose.js";
import { clamp } from "../avatar/linear.js";
import { POSE } from "./linearization.js";
/** @import { LandmarkModel } from "./landmark_model.js" */
/** @import { FaceState, FrameProblem, Linearization, Pinhole } from "./linearization.js" */

/** Frames that share the prior on pitch from the depth of the landmarks. */
const PITCH_FRAMES = 16;
/** Largest step of the focal length's logarithm, and its range around the prior's as factors. */
const FOCAL_STEP = 0.15, FOCAL_RANGE = [0.5, 2];
/** Added to the diagonal: of an expression at its limit, of a focal length that is fixed. */
const AT_LIMIT = 1e9, FIXED = 1e12;

/** @typedef {Object} KeyFrame
 * @property {Float64Array} target [468,2] landmarks, pixels
 * @property {number[] | null} rotation [9] of the skull, measured from the depth of the landmarks, where known
 * @property {number[] | null} attitude the same in the head model's frame, once known */
/** @typedef {{camera: Pinhole, focal: number, logSigma: number, isReleased: boolean,
 *   interOcular: number}} SharedProblem first camera; prior on its focal length, and whether that is estimated;
 *   pixels */

/** Fits identity and, where released, the focal length to key frames.
 * @param {LandmarkModel} model
 * @param {KeyFrame[]} frames @param {SharedProblem} shared
 * @param {Linearization} linearization memory for it, with identity
 * @returns {{problem: FrameProblem, states: FaceState[]} |
 *   null} the person's problem, and the state of each frame; null where the frames do not determine them */
export function fitIdentity(model, frames, shared, linearization) {
  const identity = new Float64Array(model.identitySize);
  let problem = problemOf(model, identity, shared.camera, shared.interOcular);
  const starts = frames.map((frame) => neutralState(problem, frame.target, frame.rotation ?? FACING));
  if (!starts.every((state) => state !== null)) return null;
  let states = starts;
  for (let round = 0; round < model.options.identity.iterations; round++) {
    const blocks = frames.map((frame, k) => eliminated(problem, linearization, states[k], frame));
    if (!blocks.every((block) => block !== null)) return null;
    const step = sharedStep(model, blocks, identity, problem.camera.focal, shared);
    if (!step) return null;
    identity.forEach((value, s) => { identity[s] = value + step[s]; });
    states = states.map((state, k) => updatedState(state, localStep(blocks[k], step), model.limits));
    const [low, high] = FOCAL_RANGE;
    const focal = problem.camera.focal * Math.exp(step[model.identitySize]);
    const camera = { ...problem.camera, focal: clamp(focal, low * shared.focal, high * shared.focal) };
    problem = problemOf(model, identity, camera, shared.interOcular);
    if (largest(step) < 1e-3) break;
  }
  return { problem, states };
}

/** The problem of the frames of one person; `interOcular` is the size of a typical face in pixels.
 * @param {LandmarkModel} model @param {Float64Array} identity @param {Pinhole} camera @param {number} interOcular
 * @returns {FrameProblem} */
export function problemOf(model, identity, camera, interOcular) {
  return { model, shape: model.shapeOf(identity), camera, unit: interOcular / 100 };
}

/** [N,N]; [N]; [6+E] step where the shared unknowns stay; [N] of [6+E], its change with each of them.
 * @typedef {{matrix: Float64Array, gradient: Float64Array, local: Float64Array, coupling: Float64Array[]}}
 *   EliminatedFrame */

/** Contribution of one frame to the reduced normal equations of N = S+1 shared unknowns, and its back-substitution.
 * @param {FrameProblem} problem @param {Linearization} linearization @param {FaceState} state
 * @param {KeyFrame} frame @returns {EliminatedFrame | null} */
function eliminated(problem, linearization, state, frame) {
  linearization.at(problem, state, frame.target);
  const { products, size, local: count, shared, residual } = linearization;
  const { matrix: factor, gradient: right } = localEquations(problem, linearization, state, frame);
  if (!factorCholesky(factor, count)) return null;
  const local = right.map((value) => -value);
  solveCholesky(factor, count, local);
  const matrix = new Float64Array(shared * shared), gradient = new Float64Array(shared), coupling = [];
  for (let i = 0; i < shared; i++) {
    const row = (count + i) * size, cross = products.subarray(row, row + count);
    coupling.push(cross.slice());
    solveCholesky(factor, count, coupling[i]);
    gradient[i] = products[residual * size + count + i] + inner(cross, local);
    for (let j = 0; j <= i; j++) {
      matrix[i * shared + j] = products[row + count + j] - inner(cross, coupling[j]);
    }
  }
  return { matrix, gradient, local, coupling };
}

/** The normal equations of one frame, with all priors; expressions that would cross a limit stay.
 * @param {FrameProblem} problem @param {Linearization} linearization @param {FaceState} state
 * @param {KeyFrame} frame */
function localEquations(problem, linearization, state, frame) {
  const { limits, options: { fit, identity } } = problem.model;
  const equations = normalEquations(problem, linearization, state.expression);
  const { matrix, gradient } = equations, size = gradient.length;
  state.expression.forEach((value, e) => {
    const slope = gradient[POSE + e];
    const isStuck = (value <= limits[e] && slope > 0) || (value >= limits[state.expression.length + e] && slope < 0);
    if (isStuck) matrix[(POSE + e) * (size + 1)] += AT_LIMIT;
  });
  if (frame.rotation) {
    const pitchWeight = identity.identity_prior / (PITCH_FRAMES * identity.pitch_sigma ** 2);
    gradient[0] += pitchWeight * turnBetween(frame.rotation, state.rotation)[0];
    matrix[0] += pitchWeight;
  }
  if (frame.attitude) addAttitude(equations, state, frame.attitude, fit.attitude);
  for (let k = 0; k < POSE; k++) matrix[k * (size + 1)] += POSE_FLOOR;
  return equations;
}

/** Step [S+1] of identity and the focal length's logarithm; null where the equations are singular.
 * @param {LandmarkModel} model @param {EliminatedFrame[]} blocks @param {Float64Array} identity
 * @param {number} focal @param {SharedProblem} shared @returns {Float64Array | null} */
function sharedStep(model, blocks, identity, focal, { focal: priorFocal, logSigma, isReleased }) {
  const prior = model.options.identity.identity_prior, count = identity.length + 1, last = count - 1;
  const matrix = new Float64Array(count * count), step = new Float64Array(count);
  for (const block of blocks) {
    for (let k = 0; k < matrix.length; k++) matrix[k] += block.matrix[k];
    for (let k = 0; k < count; k++) step[k] -= block.gradient[k];
  }
  for (let s = 0; s < last; s++) {
    matrix[s * (count + 1)] += prior;
    step[s] -= prior * identity[s];
  }
  const focalWeight = prior / logSigma ** 2;
  matrix[last * (count + 1)] += focalWeight + (isReleased ? 0 : FIXED);
  step[last] -= focalWeight * Math.log(focal / priorFocal);
  if (!factorCholesky(matrix, count)) return null;
  solveCholesky(matrix, count, step);
  step[last] = clamp(step[last], -FOCAL_STEP, FOCAL_STEP);
  return step;
}

/** Step [6+E] of a frame for the step [S+1] of the shared unknowns.
 * @param {EliminatedFrame} block @param {Float64Array} step @returns {Float64Array} */
function localStep({ local, coupling }, step) {
  return local.map((value, k) => coupling.reduce((sum, row, shared) => sum - row[k] * step[shared], value));
}

/** @param {Float64Array} a @param {Float64Array} b */
function inner(a, b) {
  let sum = 0;
  for (let k = 0; k < a.length; k++) sum += a[k] * b[k];
  return sum;
}
