/** Limits of poses: what the training video showed, lids that meet, eyes that look at one point.
 *
 * As avatar/driving/trained_range.py. */
import { numbersOf } from "../container/container.js";
import { drivingOptions } from "../container/driving_options.js";
import { LidClosure } from "./lid_closure.js";
import { add, apply, axisAngleOf, clamp, multiply, rotationOf, subtract, transposed } from "./linear.js";
/** @import { AvatarHeader } from "../container/avatar_container.js" */
/** @import { HeadParams } from "./head.js" */

const JAW = 6;
const LEFT_EYE = 9;
const RIGHT_EYE = 12;

/** A pose in the coordinates that are limited.
 * @typedef {Object} PoseTarget
 * @property {number[]} expression [E]
 * @property {number[]} jointRot [15] axis-angle radians; that of the root is ignored
 * @property {number[]} rotation [9] of the root
 * @property {number[]} position [3] of the pivot, meters */

export class TrainedRange {
  /** @param {AvatarHeader} header of the container */
  constructor(header) {
    const names = header.head.expression_names;
    const count = names.length;
    this.low = numbersOf(header, "driving.low", [count + 9]);
    this.high = numbersOf(header, "driving.high", [count + 9]);
    const margins = header.driving.margin.map((margin) => margin ?? -1);
    this.margin = numbersOf({ margins }, "margins", [count + 9]);
    this.meanRotation = [...numbersOf(header, "torso.mean_rotation", [3, 3])];
    this.meanPosition = [...numbersOf(header, "driving.mean_position", [3])];
    this.root = [...numbersOf(header, "head.joints", [5, 3]).subarray(0, 3)];
    this.pivot = [...numbersOf(header, "torso.pivot", [3])];
    this.jointDirs = numbersOf(header, "head.joint_dirs", [5, 3, count]);
    this.pitchDifference = drivingOptions(header).gaze.pitch_difference;
    this.lids = header.driving.lids ? new LidClosure(header, count) : null;
    this.close = names.indexOf("mouthClose");
    this.open = names.indexOf("jawOpen");
    this.count = count;
  }

  /** A target limited to the range. @param {PoseTarget} target @returns {PoseTarget} */
  limited(target) {
    const { count, open, close } = this;
    const turn = axisAngleOf(multiply(target.rotation, transposed(this.meanRotation)));
    const travel = subtract(target.position, this.meanPosition);
    const values = [...target.expression, ...target.jointRot.slice(JAW, JAW + 3), ...turn, ...travel];
    const soft = values.map((value, k) => this.#softClamp(value, k));
    let expression = soft.slice(0, count);
    if (open >= 0 && close >= 0 && target.expression[open] > 1e-6)
      expression[close] *= clamp(expression[open] / target.expression[open], 0, 1);
    if (this.lids) expression = this.lids.apply(expression);
    const jointRot = this.#verged(expression, target.jointRot);
    jointRot.splice(JAW, 3, ...soft.slice(count, count + 3));
    return {
      expression,
      jointRot,
      rotation: multiply(rotationOf(soft.slice(count + 3, count + 6)), this.meanRotation),
      position: add(this.meanPosition, soft.slice(count + 6)),
    };
  }

  /** The parameters that show a target. @param {PoseTarget} target @returns {HeadParams} */
  headParams({ expression, jointRot, rotation, position }) {
    const offset = apply(rotation, subtract(this.root, this.pivot));
    return {
      expression,
      jointRot: [...axisAngleOf(rotation), ...jointRot.slice(3)],
      translation: add(subtract(position, this.root), offset),
    };
  }

  /** Identity within the range, beyond it a tanh that approaches the margin.
   * @param {number} value @param {number} k @returns {number} */
  #softClamp(value, k) {
    const margin = this.margin[k];
    if (margin < 0) return value;
    const inside = clamp(value, this.low[k], this.high[k]);
    return inside + margin * Math.tanh((value - inside) / Math.max(margin, 1e-9));
  }

  /** Rotations of the joints with which both eyes look at one point; their mean direction stays.
   * @param {number[]} expression @param {number[]} jointRot @returns {number[]} */
  #verged(expression, jointRot) {
    const out = [...jointRot];
    const limits = [[-this.pitchDifference, this.pitchDifference], [-Math.PI, 0]];
    limits.forEach(([low, high], axis) => {
      let apart = jointRot[LEFT_EYE + axis] - jointRot[RIGHT_EYE + axis];
      for (let e = 0; e < this.count; e++)
        apart +=
          (this.jointDirs[(LEFT_EYE + axis) * this.count + e] - this.jointDirs[(RIGHT_EYE + axis) * this.count + e]) *
          expression[e];
      const excess = (apart - clamp(apart, low, high)) / 2;
      out[LEFT_EYE + axis] -= excess;
      out[RIGHT_EYE + axis] += excess;
    });
    return out;
  }
}
