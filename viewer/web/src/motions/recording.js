/** What files that are dropped on the page are read to. */

const MAX_FRAMES = 200000;

/** Frames of a file that show a face.
 * @typedef {Object} Recording
 * @property {string} name of the file
 * @property {number[]} times seconds from 0, increasing
 * @property {string[]} names of the expressions
 * @property {"find" | "zero"} resting whether its resting face is found in the frames or has zero weights, as
 *   Motion.resting of avatar/types.py
 * @property {Float32Array[]} weights of each frame
 * @property {number[][]} turns axis-angle rotation of the head in each frame, radians
 * @property {number[][]} [joints] [9] axis-angle rotations of jaw, left and right eye in each frame, radians: what the
 *   expressions do not rotate
 * @property {number[][]} [positions] [3] of the point that the head turns about in each frame, meters */

/** A file that cannot be read; the message is one sentence for the page. */
export class MotionFileError extends Error {}

/** Checks the `resting` of a file. @param {string} name of the file @param {unknown} value @returns {"find" | "zero"} */
export function checkResting(name, value) {
  if (value === "find" || value === "zero") return value;
  throw new MotionFileError(`${name} has a resting that is neither "find" nor "zero"; write it again.`);
}

/** Refuses a file with more frames than a take has. @param {string} name @param {number} count */
export function checkFrames(name, count) {
  if (count > MAX_FRAMES) throw new MotionFileError(`${name} has ${count} frames; the page plays at most ${MAX_FRAMES}.`);
}

/** The recording in the order of its times, from 0, without frames of equal time. @param {Recording} recording */
export function sorted(recording) {
  const { times } = recording;
  if (!times.length)
    throw new MotionFileError(`${recording.name} has no frame with a face; record the take again.`);
  const order = times.map((_, k) => k).sort((a, b) => times[a] - times[b]);
  const first = times[order[0]];
  const kept = order.filter((k, at) => at === 0 || times[k] > times[order[at - 1]]);
  const { weights, turns, joints, positions } = recording;
  return {
    ...recording,
    times: kept.map((k) => times[k] - first),
    weights: kept.map((k) => weights[k]),
    turns: kept.map((k) => turns[k]),
    joints: joints && kept.map((k) => joints[k]),
    positions: positions && kept.map((k) => positions[k]),
  };
}
