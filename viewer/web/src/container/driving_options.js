/** The constants with which the page retargets, limits and follows faces, as avatar/export/web_options.py stores them. */
import { numbersOf } from "./container.js";
/** @import { AvatarHeader } from "./avatar_container.js" */

/** @typedef {[number, number]} Pair */

/** The values of containers that were written before the constants were stored in them. */
const BEFORE = {
  retargeting: {
    travel: 0.5, // fraction of the travel of the head
    neutral_quantile: 0.2, // of the weights of a take: its resting face
    min_calibration_frames: 30,
  },
  lips: {
    closed_quantile: 0.05, // of the lip gap of a take: closed lips
    // Gaps of a motion in meters up to which the avatar has the same gap, and from which on its own is not changed.
    touching: 0.0026,
    apart: 0.0045,
  },
  lids: {
    soft: 0.08, // fraction of the opening below which it is soft-clamped
    closing: 0.5, // weight of a blink from which on the lids are closed by other expressions, too
    overlap: -0.05, // opening at a weight of 1
  },
  gaze: {
    pitch_difference: (0.5 * Math.PI) / 180, // largest of both eyes, radians
  },
  calibration: {
    seconds: 1, // of a window
    longest: 6, // seconds after which calibration ends without a resting face
    still: 0.035, // movement up to which a face is at rest
    closed: 0.55, // weight of a blink at which the lids are closed: a camera misses the peak of a fast blink
    max_gap: 0.25, // seconds between two samples beyond which a new window starts
    max_samples: 2048,
    min_span: 0.9, // fraction of `seconds` that a window spans at least
    better: 0.9, // a window replaces the best one if it moves less than this fraction of it
  },
  blinks: {
    min_range: 0.3, // smallest range of weights from rest to a closed lid
    /** Weights of a blink between which the extra lids are blended in. @type {Pair} */
    extra_lid: [0.6, 0.9],
    /** Difference in movement of the lids at which a wink starts to be kept, and is kept entirely. @type {Pair} */
    wink: [0.3, 0.55],
    /** Sines of the head's angle to the camera at which the far eye starts to follow the near one, and follows it
     * entirely. @type {Pair} */
    far_eye: [Math.sin((20 * Math.PI) / 180), Math.sin((40 * Math.PI) / 180)],
    no_position: 0.05, // a position nearer to the origin than this, meters, is none
  },
  presence: {
    // Seconds that a pose is held after the face is lost, and of blending to rest and back.
    hold: 0.3,
    to_neutral: 0.5,
    to_driver: 0.25,
  },
  /** Cutoff at rest (hertz) and its rise (hertz per unit of speed: radians, meters or weights a second). */
  smoothing: {
    /** @type {Pair} */
    turn: [2, 10],
    /** @type {Pair} */
    travel: [2, 60],
    /** @type {Pair} */
    mouth: [2, 1.5],
    /** @type {Pair} */
    brows: [1, 1],
    /** Blinks: almost unfiltered. @type {Pair} */
    lids: [15, 10],
    /** @type {Pair} */
    eyes: [2, 6],
  },
};

/** By group and name. @typedef {typeof BEFORE} DrivingOptions */

/** The constants of a container. @param {AvatarHeader} header @returns {DrivingOptions} */
export function drivingOptions(header) {
  const stored = header.driving.options;
  const groups = Object.entries(BEFORE).map(([group, values]) => {
    const entries = Object.entries(values).map(([name, value]) => {
      if (stored?.[group]?.[name] === undefined) return [name, value];
      const path = `driving.options.${group}.${name}`;
      return [name, Array.isArray(value) ? [...numbersOf(header, path, [2])] : numbersOf(header, path, [])[0]];
    });
    return [group, Object.fromEntries(entries)];
  });
  return /** @type {DrivingOptions} */ (Object.fromEntries(groups));
}
