/** The pose of the sliders: weights added to the resting face, gaze and rotation of the head. */
import { numbersOf } from "../container/container.js";
import { add, apply, axisAngleOf, multiply, rotationOf, subtract } from "../avatar/linear.js";
/** @import { PoseTarget, TrainedRange } from "../avatar/trained_range.js" */
/** @import { AvatarHeader } from "../container/avatar_container.js" */

const DEGREE = Math.PI / 180;
export const GAZE_DEGREES = 28; // of eyes without expressions for the gaze

/** @typedef {Object} Sliders
 * @property {Map<string, number>} weights by expression, added to the resting face
 * @property {number[]} gaze to the person's left and up, -1..1
 * @property {number[]} turn yaw to the person's left, pitch down, roll to the person's right shoulder, degrees
 * @property {number[]} [jaw] degrees of the jaw joint: open, to the person's left */

export class ManualPose {
  /** @param {AvatarHeader} header of the container @param {TrainedRange} range */
  constructor(header, range) {
    this.names = header.head.expression_names;
    const count = this.names.length;
    this.neutral = numbersOf(header, "driving.neutral", [count]);
    this.limits = numbersOf(header, "head.expression_limits", [2, count]);
    this.meanTranslation = [...numbersOf(header, "torso.mean_translation", [3])];
    this.range = range;
    this.gazeByWeights = this.names.includes("eyeLookOutLeft");
  }

  /** @param {Sliders} sliders @returns {PoseTarget} */
  target({ weights, gaze, turn, jaw = [0, 0] }) {
    const count = this.names.length;
    const added = new Map(weights);
    const jointRot = new Array(15).fill(0);
    jointRot.splice(6, 3, ...axisAngleOf(headTurn([jaw[1], jaw[0], 0])));
    if (this.gazeByWeights) addGaze(added, gaze);
    else for (const eye of [9, 12]) [jointRot[eye], jointRot[eye + 1]] = eyeTurn(gaze);
    const expression = this.names.map((name, e) => {
      const extra = added.get(name) ?? 0;
      const low = Math.min(this.limits[e], extra), high = Math.max(this.limits[count + e], extra);
      return Math.min(Math.max(this.neutral[e] + extra, low), high);
    });
    const { range } = this;
    const rotation = multiply(range.meanRotation, headTurn(turn));
    // The skull turns about the root, as in avatar/export/posed.py.
    const translation = add(subtract(this.meanTranslation, range.root), apply(rotation, range.root));
    const position = add(add(apply(rotation, subtract(range.pivot, range.root)), range.root), translation);
    return { expression, jointRot, rotation, position };
  }
}

/** @param {number[]} degrees */
function headTurn([yaw, pitch, roll]) {
  const about = [rotationOf([0, yaw * DEGREE, 0]), rotationOf([pitch * DEGREE, 0, 0]), rotationOf([0, 0, roll * DEGREE])];
  return multiply(about[0], multiply(about[1], about[2]));
}

/** @param {number[]} gaze */
function eyeTurn([left, up]) {
  return [-up * GAZE_DEGREES * DEGREE, left * GAZE_DEGREES * DEGREE];
}

/** @param {Map<string, number>} weights @param {number[]} gaze */
export function addGaze(weights, [left, up]) {
  /** @type {(name: string, value: number) => void} */
  const raise = (name, value) => weights.set(name, (weights.get(name) ?? 0) + value);
  raise(left > 0 ? "eyeLookOutLeft" : "eyeLookInLeft", Math.abs(left));
  raise(left > 0 ? "eyeLookInRight" : "eyeLookOutRight", Math.abs(left));
  for (const side of ["Left", "Right"]) raise(`eyeLook${up > 0 ? "Up" : "Down"}${side}`, Math.abs(up));
}
