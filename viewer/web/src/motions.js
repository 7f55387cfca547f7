/** Motions that the page plays: packed with the avatar, or dropped on the page and retargeted to it. */
import { numbersOf } from "./container.js";
import { dot } from "./lid_closure.js";
import { add, clamp, multiply, quatOf, rotationBetween } from "./linear.js";
import { rotationOf, scaled, subtract, transposed, writeMatrix } from "./linear.js";
import { MotionFileError } from "./recording.js";

const NEUTRAL_QUANTILE = 0.2;
const CLOSED_QUANTILE = 0.05;
const MIN_CALIBRATION_FRAMES = 30;
const TRAVEL = 0.5; // fraction of the recorded travel of the head, DEFAULT_TRAVEL of the driver

/** @typedef {Object} PlayedMotion
 * @property {string} name
 * @property {number} duration seconds
 * @property {(time: number) => import("./head.js").HeadParams} paramsAt parameters at a time */

/** Two neighboring frames at a time and the fraction of the second one. */
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

/** The motion in the container, already retargeted. @param {string} name @param {Object} arrays from the worker
 * @returns {PlayedMotion} */
export function packedMotion(name, { times, expression, jointRot, translation, torso }) {
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

/** A recording retargeted by name, as avatar/driving/driver.py with its defaults.
 * @param {import("./recording.js").Recording} recording @param {Object} header of the container
 * @param {import("./trained_range.js").TrainedRange} range @returns {PlayedMotion} */
export function retargetedMotion(recording, header, range) {
  const names = header.head.expression_names, count = names.length;
  const columns = names.map((name) => recording.names.indexOf(name));
  if (columns.every((column) => column < 0))
    throw new MotionFileError(`${recording.name} has none of the expressions of this avatar; drop another file.`);
  checkJoints(recording, header);
  const limits = numbersOf(header, "head.expression_limits", [2, count]);
  const limit = (weights) => weights.map((value, e) => clamp(value, limits[e], limits[count + e]));
  const mapped = (weights) => limit(columns.map((column) => (column < 0 ? 0 : weights[column])));
  const frames = recording.weights.map(mapped);
  const { joints } = recording, turns = recording.turns.map((turn) => rotationOf(...turn));
  const calibrated = frames.length >= MIN_CALIBRATION_FRAMES;
  const source = names.map((name, e) =>
    calibrated && !name.startsWith("eyeLook") ? quantile(frames.map((frame) => frame[e]), NEUTRAL_QUANTILE) : 0,
  );
  let neutral = [...numbersOf(header, "driving.neutral", [count])];
  const replaceNeutral = (weights) =>
    limit(
      weights.map((value, e) => {
        const fade = clamp((1 - value) / Math.max(1 - source[e], 1e-3), 0, 1);
        return value + (neutral[e] - source[e]) * (/^[a-z]+_?\d+$/.test(names[e]) ? 1 : fade);
      }),
    );
  if (calibrated && header.driving.lips) neutral = closedLips(header, neutral, frames.map(replaceNeutral));
  const change = calibrated ? multiply(transposed(meanRotation(turns)), range.meanRotation) : range.meanRotation;
  const travel = travelOf(recording.positions ?? []);
  return {
    name: recording.name,
    duration: recording.times[recording.times.length - 1],
    paramsAt(time) {
      const [low, next, part] = interpolationAt(recording.times, time);
      const mix = (a, b) => a.map((value, k) => (1 - part) * value + part * b[k]);
      return range.headParams(
        range.limited({
          expression: replaceNeutral(mix(frames[low], frames[next])),
          jointRot: [...new Array(6).fill(0), ...(joints ? mix(joints[low], joints[next]) : new Array(9).fill(0))],
          rotation: multiply(rotationBetween(turns[low], turns[next], part), change),
          position: travel.length ? add(range.meanPosition, mix(travel[low], travel[next])) : range.meanPosition,
        }),
      );
    },
  };
}

/** Refuses rotations of jaw and eyes that expressions of the avatar would have to show: the page does not convert them. */
function checkJoints({ name, names, joints }, { head }) {
  const turning = head.expression_names.filter((_, e) =>
    head.joint_dirs.some((axes) => axes.some((row) => row[e] !== 0)),
  );
  if (!turning.length || turning.some((each) => names.includes(each))) return;
  if (joints?.some((row) => row.some((value) => value !== 0)))
    throw new MotionFileError(`${name} was made for another head; pack it with headsplat export --motion.`);
}

/** How far the head of the avatar travels in each frame. @param {number[][]} positions of the recorded head */
function travelOf(positions) {
  const mean = [0, 1, 2].map((axis) => positions.reduce((sum, row) => sum + row[axis], 0) / positions.length);
  return positions.map((row) => scaled(subtract(row, mean), TRAVEL));
}

/** A neutral expression whose lips meet where the recording closes them; as avatar/driving/lip_closure.py. */
function closedLips(header, neutral, frames) {
  const gap = numbersOf(header, "driving.lips.gap", [])[0];
  const opening = numbersOf(header, "driving.lips.opening", [neutral.length]);
  const closedGap = quantile(frames.map((frame) => gap + dot(frame, opening)), CLOSED_QUANTILE);
  const openGap = neutral.reduce((sum, weight, e) => sum + Math.max(weight * opening[e], 0), 0);
  const scale = openGap > 0 ? clamp(1 - closedGap / openGap, 0, 1) : 1;
  return neutral.map((weight, e) => (weight * opening[e] > 0 ? scale * weight : weight));
}

/** Quantile of values, linear between neighbors. */
function quantile(values, fraction) {
  const ordered = Float64Array.from(values).sort();
  const place = fraction * (ordered.length - 1), low = Math.floor(place);
  const high = Math.min(low + 1, ordered.length - 1);
  return ordered[low] + (place - low) * (ordered[high] - ordered[low]);
}

/** Chordal mean of rotations: the main eigenvector of the sum of q q^T (Markley et al. 2007), by power iteration. */
function meanRotation(rotations) {
  const sum = new Float64Array(16);
  for (const quat of rotations.map(quatOf))
    for (let k = 0; k < 16; k++) sum[k] += (quat[k >> 2] * quat[k & 3]) / rotations.length;
  let mean = quatOf(rotations[0]);
  for (let step = 0; step < 50; step++) {
    const next = [0, 4, 8, 12].map((row) => dot(sum.subarray(row, row + 4), mean));
    const length = Math.hypot(...next);
    mean = next.map((value) => value / length);
  }
  const matrix = new Array(9);
  writeMatrix(matrix, 0, ...mean);
  return matrix;
}
