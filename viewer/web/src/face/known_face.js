/** Pose, expression and gaze of a known person, fitted to the landmarks of one frame from the previous fit. */
import { largest } from "./dense.js";
import { solveFrame, turnBetween } from "./frame_fit.js";
import { initialState, networkRotation } from "./initial_pose.js";
import { eyeRotation, gazeOf } from "./iris_gaze.js";
import { apply, axisAngleOf, multiply } from "../avatar/linear.js";
import { fittedSize, frameDistances, Linearization } from "./linearization.js";
import { targetOf } from "./person_fit.js";
import { fitWithoutOutliers, trimmedMean } from "./robust.js";
/** @import { FaceState } from "./linearization.js" */
/** @import { Person } from "./person_fit.js" */

/** Gauss-Newton steps of a fit without a previous one, and weight of the prior that keeps expressions near the previous
 * frame's: one landmark pass leaves some expressions nearly undetermined. */
const FIRST_ITERATIONS = 10, PREVIOUS_WEIGHT = 100;
/** Reprojection error (fraction of the inter-ocular distance) beyond which a fit counts as failed. */
export const MAX_ERROR = 0.06;
/** From this fraction of it on a frame is fitted without the previous one, too; that fit must have this part of the
 * error. */
const DOUBTFUL = 0.6, CLEARLY_BETTER = 0.7;
/** A change from the previous frame larger than this (weight, radians) gets a second step. */
const FAR = 0.25, FAR_TURN = 0.05;
/** Blink weight above which the iris is not visible, and the previous gaze is kept. */
const IRIS_HIDDEN = 0.6;
/** Smallest size of a face against that during learning, by which its error is measured. */
const SMALLEST = 0.3;

/** @typedef {Object} FaceFit
 * @property {FaceState} state
 * @property {number[]} gaze [2] yaw and pitch of both eyes, radians
 * @property {number} error reprojection without outliers, fraction of the inter-ocular distance */

/** Landmarks [468,2] pixels, and the measured rotation [9] where it is known.
 * @typedef {{target: Float64Array, attitude: number[] | null}} SeenFace */

/** Fits single frames of a known person. */
export class KnownFace {
  #person;
  #linearization;
  #lids;

  /** @param {Person} person */
  constructor(person) {
    const { model } = person.problem;
    this.#person = person;
    this.#linearization = new Linearization(model, false);
    const names = Array.from(model.columns, (column) => model.names[column]);
    this.#lids = [...names.keys()].filter((e) => /^(eyeBlink|eyelid)/.test(names[e]));
  }

  /** The fit to landmarks.
   * @param {Float32Array} points [478,3] pixels, NaN where one is missing
   * @param {FaceFit | null} previous
   * @returns {FaceFit | null} null where the landmarks do not determine it */
  fit(points, previous) {
    const found = this.#fit(points, previous);
    if (!found || !previous || found.error < DOUBTFUL * MAX_ERROR) return found;
    // After a jump the fit from the previous frame can take the part of the face that it does not reach for outliers.
    const first = this.#fit(points, null);
    return first && first.error < CLEARLY_BETTER * found.error ? first : found;
  }

  /** @param {Float32Array} points @param {FaceFit | null} previous @returns {FaceFit | null} */
  #fit(points, previous) {
    const { problem, offset, interOcular } = this.#person;
    const target = targetOf(points);
    const fit = (/** @type {Float32Array} */ used) => {
      const measured = networkRotation(problem.model, used, problem.camera);
      const seen = { target: targetOf(used), attitude: measured && offset && multiply(measured, offset) };
      return previous ? this.#next(previous.state, seen) : this.#first(seen);
    };
    // The unit of the problem is the face size during learning; the distance to the camera may have changed since.
    const distancesOf = (/** @type {FaceState} */ state) => {
      const size = Math.max(fittedSize(problem, state, problem.model.groups.eye_corners), SMALLEST * interOcular);
      return frameDistances(problem, state, target).map((distance) => (distance * interOcular) / size);
    };
    const found = fitWithoutOutliers(points, 3, fit, distancesOf);
    if (!found) return null;
    const { result: state, used } = found;
    return { state, gaze: this.#gaze(used, state, previous), error: trimmedMean(distancesOf(state)) };
  }

  /** Expression weights [E] of the whole head, joint rotations [5,3] and position of the neck in meters.
   * @param {FaceFit} fit */
  parameters({ state, gaze }) {
    const { model, shape } = this.#person.problem;
    const expression = new Array(model.names.length).fill(0);
    model.columns.forEach((column, e) => { expression[column] = state.expression[e]; });
    const eye = eyeRotation(gaze);
    return {
      expression,
      jointRot: [...axisAngleOf(state.rotation), 0, 0, 0, 0, 0, 0, ...eye, ...eye],
      translation: apply(state.rotation, shape.anchors[1]).map((value, axis) => value + state.translation[axis]),
    };
  }

  /** @param {SeenFace} seen */
  #first(seen) {
    const start = initialState(this.#person.problem, seen.target, seen.attitude);
    return start && this.#solved(start, seen, FIRST_ITERATIONS, 0);
  }

  /** @param {FaceState} previous @param {SeenFace} seen */
  #next(previous, seen) {
    const state = this.#solved(previous, seen, 1, PREVIOUS_WEIGHT);
    return state && isFar(previous, state) ? this.#solved(state, seen, 1, PREVIOUS_WEIGHT) : state;
  }

  /** @param {FaceState} start @param {SeenFace} seen @param {number} iterations @param {number} previousWeight */
  #solved(start, seen, iterations, previousWeight) {
    return solveFrame(this.#person.problem, this.#linearization, start, seen, iterations, previousWeight);
  }

  /** @param {Float32Array} points @param {FaceState} state @param {FaceFit | null} previous */
  #gaze(points, state, previous) {
    const isHidden = this.#lids.some((e) => state.expression[e] >= IRIS_HIDDEN);
    return (isHidden ? null : gazeOf(this.#person.problem, state, points)) ?? previous?.gaze ?? [0, 0];
  }
}

/** @param {FaceState} first @param {FaceState} second */
function isFar(first, second) {
  const change = second.expression.map((value, e) => value - first.expression[e]);
  return Math.hypot(...turnBetween(first.rotation, second.rotation)) > FAR_TURN || largest(change) > FAR;
}
