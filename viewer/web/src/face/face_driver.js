/** Retargets a face whose resting state is known to the avatar; lids close together. As avatar/driving/live/calibrated_driver.py. */
import { dot } from "../avatar/lid_closure.js";
import { add, apply, axisAngleOf, clamp, multiply, rotationOf, scaled, subtract, transposed } from "../avatar/linear.js";
import { meanRotation, quantile } from "../motions/retargeting.js";
/** @import { HeadParams } from "../avatar/head.js" */
/** @import { Retargeting } from "../motions/retargeting.js" */
/** @import { FaceSample } from "./face_fitter.js" */

const EYES = [9, 12];
/** Groups of expressions whose gain can be set, by the start of their names; the head is its rotation and travel. */
export const GAIN_GROUPS = {
  brows: /^brow/, eyes: /^(eye|cheekSquint)/, mouth: /^(mouth|cheekPuff|tongue|noseSneer)/, jaw: /^jaw/, head: null,
};

/** A resting face.
 * @typedef {Object} RestingFace
 * @property {number[]} weights of the person's expressions @property {number[]} eyes [6] axis-angle radians
 * @property {number[]} rotation [9] of the head @property {number[]} translation [3] meters */

/** The resting face of samples: their median. @param {FaceSample[]} samples
 * @returns {RestingFace} */
export function restingFace(samples) {
  const medians = (/** @type {number[][]} */ rows) => rows[0].map((_, column) => quantile(rows.map((row) => row[column]), 0.5));
  return {
    weights: medians(samples.map(({ expression }) => expression)),
    eyes: medians(samples.map(({ jointRot }) => jointRot.slice(EYES[0]))),
    rotation: meanRotation(samples.map(({ jointRot }) => rotationOf(jointRot.slice(0, 3)))),
    translation: medians(samples.map(({ translation }) => translation)),
  };
}

export class FaceDriver {
  /** @param {Retargeting} retargeting not calibrated; this driver calibrates it
   * @param {string[]} names of the person's expressions @param {RestingFace} rest */
  constructor(retargeting, names, rest) {
    this.retargeting = retargeting;
    this.names = names;
    this.rest = rest;
    const kind = names.some((name) => name.startsWith("eyeBlink")) ? "eyeBlink" : "eyelid";
    const own = retargeting.names;
    this.lids = names.flatMap((name, column) => (name.startsWith(kind) ? [column] : []));
    this.left = this.lids.length === 2 ? this.lids.findIndex((column) => names[column].endsWith("Left")) : -1;
    this.wide = this.lids.map((column) => names.indexOf(names[column].replace(kind, "eyeWide")));
    retargeting.closeLips([retargeting.neutral]);
    const neutral = retargeting.neutral;
    this.avatarLids = this.lids.map((column) => neutral[own.indexOf(names[column])] ?? 0);
    const resting = retargeting.mapped(rest.weights);
    // Lids are mapped by `#closing`, and a direction of gaze has no resting state.
    retargeting.source = own.map((name, e) =>
      name.startsWith(kind) || name.startsWith("eyeLook") ? neutral[e] : resting[e],
    );
    retargeting.turnFrom(rest.rotation);
    retargeting.meanPosition = rest.translation;
  }

  /** The parameters of the avatar for a sample. @param {FaceSample} sample
   * @param {Object<string, number>} gains factor by group of GAIN_GROUPS, 1 where none is given
   * @returns {HeadParams} */
  params(sample, gains) {
    const seen = rotationOf(sample.jointRot.slice(0, 3));
    const { weights, jointRot, rotation, translation } = this.#withGains(sample, seen, gains);
    const closing = this.#farLid(this.#closing(this.lids.map((column) => weights[column])), seen, sample.translation);
    this.lids.forEach((column, lid) => {
      weights[column] = closing[lid];
      if (this.wide[lid] >= 0) weights[this.wide[lid]] *= 1 - closing[lid]; // a closed eye is not wide
    });
    const { retargeting } = this;
    const params = retargeting.params(retargeting.mapped(weights), jointRot, rotation, translation);
    this.#closeExtraLids(params.expression);
    return params;
  }

  /** The sample with its differences from rest scaled.
   * @param {FaceSample} sample @param {number[]} seen @param {Object<string, number>} gains */
  #withGains({ expression, jointRot, translation }, seen, gains) {
    const { rest, names } = this;
    const gain = (/** @type {string} */ group) => gains[group] ?? 1;
    const groups = Object.entries(GAIN_GROUPS);
    const weights = expression.map((weight, e) => {
      const group = groups.find(([, pattern]) => pattern?.test(names[e]));
      return rest.weights[e] + (group ? gain(group[0]) : 1) * (weight - rest.weights[e]);
    });
    const eyes = jointRot.slice(EYES[0]).map((angle, k) => gain("eyes") * (angle - rest.eyes[k]));
    const head = gain("head");
    const turn = axisAngleOf(multiply(seen, transposed(rest.rotation)));
    return {
      weights,
      jointRot: [...jointRot.slice(0, 6), ...scaled(jointRot.slice(6, 9), gain("jaw")), ...eyes],
      rotation: head === 1 ? seen : multiply(rotationOf(scaled(turn, head)), rest.rotation),
      translation: add(rest.translation, scaled(subtract(translation, rest.translation), head)),
    };
  }

  /** Weights of blinks that map rest to the rest of the avatar and closed lids to 1: subtracting the resting face, as for
   * other expressions, would leave a gap under every blink.
   * @param {number[]} weights @returns {number[]} */
  #closing(weights) {
    const { calibration: { closed }, blinks: { min_range: least, wink } } = this.retargeting.options;
    /** @type {number[]} */
    const moved = [];
    const closing = weights.map((weight, lid) => {
      const rest = this.rest.weights[this.lids[lid]], open = this.avatarLids[lid];
      const span = Math.max(closed - rest, least);
      const slope = Math.min((1 - open) / span, 1);
      moved[lid] = weight - rest;
      const extra = softStep(moved[lid], span / 2, span) * (1 - open - slope * span);
      return clamp(open + slope * moved[lid] + extra, 0, 1);
    });
    return synchronized(closing, moved, wink);
  }

  /** The far eye follows the near one as the head turns from the camera: it covers few pixels and seems closed.
   * @param {number[]} closing @param {number[]} rotation @param {number[]} translation @returns {number[]} */
  #farLid(closing, rotation, translation) {
    if (this.left < 0) return closing;
    const { far_eye: [from, until], no_position: none } = this.retargeting.options.blinks;
    const distance = Math.hypot(...translation);
    const toCamera = distance > none ? scaled(translation, -1 / distance) : [0, 0, 1];
    const side = apply(transposed(rotation), toCamera)[0]; // positive: the right eye is the far one
    const amount = softStep(Math.abs(side), from, until);
    const near = closing[side > 0 ? this.left : 1 - this.left];
    return closing.map((weight) => weight + amount * (near - weight));
  }

  /** Closes blinking eyes fully by the extra lid expressions of the head: a blink leaves wide eyes slightly open.
   * @param {number[]} expression */
  #closeExtraLids(expression) {
    const { names, range, options: { blinks: { extra_lid: [from, until] } } } = this.retargeting;
    const { lids } = range;
    if (!lids) return;
    ["Right", "Left"].forEach((side, eye) => {
      const extra = names.indexOf(`eyelid${side}`), blink = names.indexOf(`eyeBlink${side}`);
      if (extra < 0 || blink < 0) return;
      const closing = lids.closing[eye];
      const gap = Math.max(1 - dot(expression, closing), 0) / Math.max(closing[extra], 0.1);
      expression[extra] += gap * clamp((expression[blink] - from) / (until - from), 0, 1);
    });
  }
}

/** Blinks that are equal where the lids have moved from rest by less than a wink apart: both eyes blink together, but a
 * camera measures one better than the other.
 * @param {number[]} closing @param {number[]} moved @param {number[]} wink @returns {number[]} */
function synchronized(closing, moved, wink) {
  if (moved.length !== 2) return closing;
  const less = Math.min(...moved), more = Math.max(...moved);
  const similarity = clamp(less / Math.max(more, 1e-6), 0, 1);
  const mean = (closing[0] + closing[1]) / 2;
  const shared = mean + similarity * (Math.max(...closing) - mean);
  const winking = softStep(more - less, wink[0], wink[1]);
  return closing.map((weight) => shared + winking * (weight - shared));
}

/** 0 below `low`, 1 above `high`, smooth between. @param {number} value @param {number} low @param {number} high */
function softStep(value, low, high) {
  const t = clamp((value - low) / (high - low), 0, 1);
  return t * t * (3 - 2 * t);
}
