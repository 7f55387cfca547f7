/** Reads headsplat's .motion.npz, as avatar/motion/files/stored.py. */
import { axisAngleOf, multiply, rotationOf } from "../avatar/linear.js";
import { NpzError, readNpz } from "./npz.js";
import { checkFrames, checkResting, MotionFileError } from "./recording.js";
/** @import { NumberArray } from "./npz.js" */
/** @import { Recording } from "./recording.js" */

const MAGIC = "headsplat-motion";
const VERSION = 2;
const ZERO_NOTE = "made, not recorded: zero weights are the resting face"; // of version 1, for resting "zero"
const JOINTS = ["root", "neck", "jaw", "left_eye", "right_eye"];
const JAW = 6; // of the 15 numbers of a frame's rotations
const LARGEST = 1e6;
const ARRAYS = ["header", "time", "weights", "joint_rot", "translation", "confidence"];

/** @param {string} name of the file @param {ArrayBuffer} buffer @returns {Promise<Recording>}
 *   the frames with a face */
export async function readStored(name, buffer) {
  let arrays;
  try {
    arrays = await readNpz(buffer, ARRAYS);
  } catch (error) {
    throw error instanceof NpzError ? damaged(name, error.message) : error;
  }
  const { names, resting } = headerOf(name, arrays.get("header"));
  const frames = arrays.get("time")?.shape[0] ?? 0;
  checkFrames(name, frames);
  /** @type {(key: string, ...shape: number[]) => Float64Array[]} */
  const rows = (key, ...shape) => rowsOf(name, key, arrays.get(key), [frames, ...shape]);
  const seconds = rows("time").map(([time]) => time);
  if (!frames || seconds.some((time, k) => k && time <= seconds[k - 1])) throw damaged(name, "times that do not increase");
  const confidence = arrays.has("confidence") ? rows("confidence").map(([value]) => value) : null;
  const kept = seconds.map((_, k) => k).filter((k) => !confidence || confidence[k] > 0);
  /** @type {<T>(values: T[]) => T[]} */
  const pick = (values) => kept.map((k) => values[k]);
  const rotations = pick(rows("joint_rot", JOINTS.length, 3));
  return {
    name,
    names,
    resting,
    times: pick(seconds),
    weights: pick(rows("weights", names.length)).map((row) => Float32Array.from(row)),
    turns: rotations.map((row) => axisAngleOf(multiply(rotationOf(row.slice(0, 3)), rotationOf(row.slice(3, JAW))))),
    joints: rotations.map((row) => [...row.slice(JAW)]),
    positions: pick(rows("translation", 3)).map((row) => [...row]),
  };
}

/** @param {string} name @param {string} reason */
function damaged(name, reason) {
  return new MotionFileError(`${name} is damaged (${reason}); write it again.`);
}

/** @param {string} name @param {NumberArray | undefined} array */
function headerOf(name, array) {
  let header;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(array?.values ?? [])));
  } catch {
    header = null;
  }
  if (header?.magic !== MAGIC) throw new MotionFileError(`${name} is not a motion of headsplat; drop a .motion.npz.`);
  if (!Number.isInteger(header.version) || header.version < 1) throw damaged(name, "no version");
  if (header.version > VERSION)
    throw new MotionFileError(`${name} has version ${header.version}, this page reads ${VERSION}; export the page again.`);
  const { names, joints } = header;
  if (String(joints) !== String(JOINTS)) throw damaged(name, "its joints");
  if (!Array.isArray(names) || names.some((entry) => typeof entry !== "string") || new Set(names).size < names.length)
    throw damaged(name, "its names");
  const old = header.notes?.includes?.(ZERO_NOTE) ? "zero" : "find";
  return { names, resting: header.version > 1 ? checkResting(name, header.resting) : old };
}

/** Rows of an array with a given shape.
 * @param {string} name @param {string} key @param {NumberArray | undefined} array @param {number[]} shape
 * @returns {Float64Array[]} */
function rowsOf(name, key, array, shape) {
  if (!array || String(array.shape) !== String(shape)) throw damaged(name, `shape of ${key}`);
  if (!array.values.every((value) => Math.abs(value) <= LARGEST)) throw damaged(name, `values of ${key}`);
  const length = shape.slice(1).reduce((product, size) => product * size, 1);
  return Array.from({ length: shape[0] }, (_, row) => array.values.subarray(row * length, (row + 1) * length));
}
