/** Motions that the page plays: packed with the avatar, or dropped on the page and retargeted to it. */
import { clamp, rotationBetween, rotationOf } from "../avatar/linear.js";
import { MotionFileError } from "./recording.js";
import { Retargeting, meanRotation, quantile } from "./retargeting.js";
/** @import { HeadParams } from "../avatar/head.js" */
/** @import { TrainedRange } from "../avatar/trained_range.js" */
/** @import { AvatarHeader } from "../container/avatar_container.js" */
/** @import { StoredNumbers } from "../container/container.js" */
/** @import { Recording } from "./recording.js" */

/** @typedef {Object} PlayedMotion
 * @property {string} name
 * @property {number} duration seconds
 * @property {(time: number) => HeadParams} paramsAt parameters at a time */

/** The motion in the container, from the worker: rows of F frames.
 * @typedef {Object} PackedMotion
 * @property {StoredNumbers} times [F] seconds
 * @property {Float32Array} expression [E,F]
 * @property {StoredNumbers} jointRot [15,F]
 * @property {StoredNumbers} translation [3,F]
 * @property {StoredNumbers | null} torso [6,F] where it is measured */

/** @typedef {[number, number, number]} Interpolation two neighboring frames and the fraction of the second one */

/** Two neighboring frames at a time and the fraction of the second one.
 * @param {ArrayLike<number>} times @param {number} time @returns {Interpolation} */
function interpolationAt(times, time) {
  let low = 0, high = times.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (times[middle] <= time) low = middle;
    else high = middle - 1;
  }
  const next = Math.min(low + 1, times.length - 1);
  const step = times[next] - times[low];
  return [low, next, step > 0 ? clamp((time - times[low]) / step, 0, 1) : 0];
}

/** The motion in the container, already retargeted. @param {string} name @param {PackedMotion} arrays from the worker
 * @returns {PlayedMotion} */
export function packedMotion(name, { times, expression, jointRot, translation, torso }) {
  /** @type {(rows: ArrayLike<number>, place: Interpolation) => number[]} */
  const column = (rows, [low, next, part]) =>
    Array.from({ length: rows.length / times.length }, (_, row) => {
      const at = row * times.length;
      return (1 - part) * rows[at + low] + part * rows[at + next];
    });
  return {
    name,
    duration: times[times.length - 1] - times[0],
    paramsAt(time) {
      const place = interpolationAt(times, time);
      return {
        expression: column(expression, place),
        jointRot: column(jointRot, place),
        translation: column(translation, place),
        torso: torso ? column(torso, place) : undefined,
      };
    },
  };
}

/** A recording retargeted by name, as drive() of avatar/driving/driver.py with its defaults.
 * @param {Recording} recording @param {AvatarHeader} header of the container
 * @param {TrainedRange} range @returns {PlayedMotion} */
export function retargetedMotion(recording, header, range) {
  const retargeting = new Retargeting(header, range, recording.names);
  if (!retargeting.isPossible)
    throw new MotionFileError(`${recording.name} has none of the expressions of this avatar; drop another file.`);
  checkJoints(recording, header);
  const frames = recording.weights.map((weights) => retargeting.mapped(weights));
  const { joints, positions } = recording, turns = recording.turns.map((turn) => rotationOf(turn));
  if (recording.resting === "zero") retargeting.restAtZero(recording.names);
  else if (frames.length >= retargeting.options.retargeting.min_calibration_frames) calibrate(retargeting, frames, turns);
  if (recording.resting === "find" && positions)
    retargeting.meanPosition = [0, 1, 2].map((axis) => positions.reduce((sum, row) => sum + row[axis] / positions.length, 0));
  const gaps = recording.weights.map((weights) => retargeting.contact?.gapOf(weights) ?? 0);
  return {
    name: recording.name,
    duration: recording.times[recording.times.length - 1],
    paramsAt(time) {
      const [low, next, part] = interpolationAt(recording.times, time);
      const mix = (/** @type {number[][]} */ rows) => rows[low].map((value, k) => (1 - part) * value + part * rows[next][k]);
      const jointRot = [...new Array(6).fill(0), ...(joints ? mix(joints) : new Array(9).fill(0))];
      const rotation = rotationBetween(turns[low], turns[next], part);
      const gap = (1 - part) * gaps[low] + part * gaps[next];
      return retargeting.params(mix(frames), jointRot, rotation, positions ? mix(positions) : null, gap);
    },
  };
}

/** Takes a low quantile of the weights for the resting face, and the mean rotation for that of the camera.
 * @param {Retargeting} retargeting @param {number[][]} frames @param {number[][]} turns */
function calibrate(retargeting, frames, turns) {
  const { neutral_quantile: part } = retargeting.options.retargeting;
  retargeting.source = retargeting.names.map((name, e) =>
    name.startsWith("eyeLook") ? 0 : quantile(frames.map((frame) => frame[e]), part),
  );
  retargeting.closeLips(frames.map((frame) => retargeting.replaceNeutral(frame)));
  retargeting.turnFrom(meanRotation(turns));
}

/** Refuses rotations of jaw and eyes that expressions of the avatar would have to show: the page does not convert them.
 * @param {Recording} recording @param {AvatarHeader} header */
function checkJoints({ name, names, joints }, { head }) {
  const turning = head.expression_names.filter((_, e) =>
    head.joint_dirs.some((axes) => axes.some((row) => row[e] !== 0)),
  );
  if (!turning.length || turning.some((each) => names.includes(each))) return;
  if (joints?.some((row) => row.some((value) => value !== 0)))
    throw new MotionFileError(`${name} was made for another head; pack it with headsplat export --motion.`);
}
