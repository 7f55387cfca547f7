/** Files that are dropped on the page: Live Link Face CSV, JSON of named weights, .motion.npz. */
import { axisAngleOf, multiply, rotationOf } from "../avatar/linear.js";
import { isArchive } from "./npz.js";
import { checkFrames, checkResting, MotionFileError, sorted } from "./recording.js";
import { readStored } from "./stored_motion.js";
/** @import { Recording } from "./recording.js" */

const MAX_BYTES = 1 << 28;
const TICKS = 60; // of a timecode in a second
const DAY = 86400;
const DEFAULT_FPS = 30;

/** What a file has besides its name. @typedef {Omit<Recording, "name">} FramesOfFile */

/** Reads a file. @param {File} file @returns {Promise<Recording>} rejected with a
 *   MotionFileError for one that cannot be played */
export async function readRecording(file) {
  const { name, size } = file;
  if (size > MAX_BYTES) throw new MotionFileError(`${name} is larger than ${MAX_BYTES >> 20} MB; drop a shorter take.`);
  const buffer = await file.arrayBuffer();
  if (isArchive(buffer)) return sorted(await readStored(name, buffer));
  const text = new TextDecoder().decode(buffer), start = text.trimStart();
  const read = start.startsWith("{") || start.startsWith("[") ? readJson : readLiveLink;
  return sorted({ name, ...read(name, text) });
}

/** @param {string} name @param {string} text @returns {FramesOfFile} */
function readLiveLink(name, text) {
  const lines = text.split(/\r?\n/).filter((line) => line.trim());
  const header = (lines.shift() ?? "").split(",").map((cell) => cell.trim());
  const lower = header.map((cell) => cell.toLowerCase());
  const place = lower.indexOf("timecode"), count = lower.indexOf("blendshapecount");
  if (place < 0) throw new MotionFileError(`${name} is not a Live Link CSV file, ARKit JSON or .motion.npz; drop one of these.`);
  checkFrames(name, lines.length);
  const angles = ["headyaw", "headpitch", "headroll"].map((key) => lower.indexOf(key));
  /** @param {string} key */
  const isWeight = (key) => key && !/^(timecode|blendshapecount|restingweight)$|(yaw|pitch|roll)$/i.test(key);
  const columns = header.map((_, k) => k).filter((k) => isWeight(header[k]));
  const names = columns.map((k) => camelCase(header[k]));
  /** @type {number[]} */
  const times = [];
  /** @type {Float32Array[]} */
  const weights = [];
  /** @type {number[][]} */
  const turns = [];
  let last = -Infinity, days = 0;
  lines.forEach((line, row) => {
    const where = `${name}, line ${row + 2}`;
    const cells = line.split(",");
    const seconds = secondsOf(cells[place], where);
    if (seconds < last - DAY / 2) days++;
    last = seconds;
    if (count >= 0 && Number(cells[count]) === 0) return; // no face
    times.push(days * DAY + seconds);
    weights.push(Float32Array.from(columns, (k) => numberOf(cells[k], where)));
    turns.push(angles.includes(-1) ? [0, 0, 0] : headRotation(angles.map((k) => numberOf(cells[k], where))));
  });
  const resting = lower.includes("restingweight") ? "zero" : "find"; // RESTING of avatar/motion/files/live_link.py
  return { times, names, weights, turns, resting };
}

/** Axis-angle rotation of the head from the angles of the app; see avatar/motion/files/angles.py.
 * @param {number[]} angles yaw, pitch, roll */
function headRotation([yaw, pitch, roll]) {
  return axisAngleOf(multiply(rotationOf([-pitch, 0, 0]), multiply(rotationOf([0, yaw, 0]), rotationOf([0, 0, roll]))));
}

/** @param {string | undefined} text @param {string} where */
function secondsOf(text, where) {
  const found = /^(\d{1,2}):(\d{2}):(\d{2})[:;](\d{1,2}(?:\.\d*)?)$/.exec((text ?? "").trim());
  if (!found) throw new MotionFileError(`${where} has no timecode HH:MM:SS:FF; repair or delete the line.`);
  const [hours, minutes, seconds, ticks] = found.slice(1).map(Number);
  return 3600 * hours + 60 * minutes + seconds + ticks / TICKS;
}

/** @param {string} name @param {string} text @returns {FramesOfFile} */
function readJson(name, text) {
  let content;
  try {
    content = JSON.parse(text);
  } catch {
    throw new MotionFileError(`${name} is not valid JSON; export it again.`);
  }
  const { names, frames, resting = "find" } = content ?? {};
  if (!Array.isArray(names) || !Array.isArray(frames))
    throw new MotionFileError(`${name} has no names and frames; drop ARKit JSON with both.`);
  checkFrames(name, frames.length);
  /** @type {{time?: number, weights?: unknown[], rotation?: unknown}[]} */
  const known = frames;
  const times = known.map((frame, k) => timeOf(frame?.time) ?? k / (content.fps || DEFAULT_FPS));
  const weights = known.map((frame, k) => {
    const where = `${name}, frame ${k}`, { weights: values } = frame ?? {};
    if (values?.length !== names.length)
      throw new MotionFileError(`${where} does not have ${names.length} weights; export the file again.`);
    return Float32Array.from(values, (value) => numberOf(value, where));
  });
  const turns = known.map(({ rotation }, k) =>
    Array.isArray(rotation) && rotation.length === 3
      ? rotation.map((value) => numberOf(value, `${name}, frame ${k}`))
      : [0, 0, 0],
  );
  const spelled = names.map((entry) => camelCase(String(entry)));
  return { times, names: spelled, weights, turns, resting: checkResting(name, resting) };
}

/** The time of a frame where it has one. @param {unknown} value */
function timeOf(value) {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

/** @param {unknown} value @param {string} where */
function numberOf(value, where) {
  const number = typeof value === "string" && value.trim() === "" ? NaN : Number(value);
  if (!Number.isFinite(number)) throw new MotionFileError(`${where} has a value that is not a number; repair it.`);
  return number;
}

/** ARKit's spelling of a name: a small first letter, Left and Right for _L and _R. @param {string} name */
function camelCase(name) {
  const sides = name.replace(/_l(eft)?$/i, "Left").replace(/_r(ight)?$/i, "Right");
  return sides.charAt(0).toLowerCase() + sides.slice(1);
}
