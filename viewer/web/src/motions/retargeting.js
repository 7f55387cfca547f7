/** From the weights and poses of another person to those of the avatar, by the names of the expressions.
 *
 * As avatar/driving/driver.py with its defaults. */
import { numbersOf } from "../container/container.js";
import { drivingOptions } from "../container/driving_options.js";
import { dot } from "../avatar/lid_closure.js";
import { add, clamp, multiply, quatOf, scaled, subtract, transposed, writeMatrix } from "../avatar/linear.js";
/** @import { HeadParams } from "../avatar/head.js" */
/** @import { TrainedRange } from "../avatar/trained_range.js" */
/** @import { AvatarHeader } from "../container/avatar_container.js" */

export class Retargeting {
  /** Not calibrated yet: the other person rests at weights of zero, looks straight ahead and does not travel.
   * @param {AvatarHeader} header of the container @param {TrainedRange} range
   * @param {string[]} names of the other person's expressions */
  constructor(header, range, names) {
    this.header = header;
    this.range = range;
    this.options = drivingOptions(header);
    this.names = header.head.expression_names;
    const count = this.names.length;
    this.columns = this.names.map((name) => names.indexOf(name));
    this.limits = numbersOf(header, "head.expression_limits", [2, count]);
    /** Resting face of the other person, and that of the avatar which replaces it, [E]. */
    this.source = new Array(count).fill(0);
    this.neutral = [...numbersOf(header, "driving.neutral", [count])];
    this.change = range.meanRotation;
    /** Mean position of the other head, meters; null: it does not travel. @type {number[] | null} */
    this.meanPosition = null;
    /** Of a motion whose zero weights are the resting face. @type {LipContact | null} */
    this.contact = null;
  }

  /** For a motion whose zero weights are the resting face: that of the avatar with closed lips. The head turns and moves
   * about the avatar's mean pose, and the lips touch where those of the motion do. @param {string[]} names of the motion */
  restAtZero(names) {
    this.closeLips([this.neutral]);
    this.meanPosition = [0, 0, 0];
    this.contact = LipContact.of(this.header, names);
  }

  /** Whether the avatar has any of the expressions. */
  get isPossible() {
    return this.columns.some((column) => column >= 0);
  }

  /** Weights [E] of the avatar that have the names of the other ones. @param {ArrayLike<number>} weights
   * @returns {number[]} */
  mapped(weights) {
    return this.#limit(this.columns.map((column) => (column < 0 ? 0 : weights[column])));
  }

  /** Weights [E] with the resting face replaced: in full at rest, not at all at a weight of 1. */
  replaceNeutral(/** @type {number[]} */ weights) {
    return this.#limit(
      weights.map((value, e) => {
        const fade = clamp((1 - value) / Math.max(1 - this.source[e], 1e-3), 0, 1);
        return value + (this.neutral[e] - this.source[e]) * (/^[a-z]+_?\d+$/.test(this.names[e]) ? 1 : fade);
      }),
    );
  }

  /** Turns the head relative to the mean rotation of the other one. @param {number[]} meanRotation [9] */
  turnFrom(meanRotation) {
    this.change = multiply(transposed(meanRotation), this.range.meanRotation);
  }

  /** Scales the weights that open the avatar's lips at rest, so that they meet where the other person's do; as
   * avatar/driving/lip_closure.py. @param {number[][]} frames weights [E] of the avatar */
  closeLips(frames) {
    if (!this.header.driving.lips) return;
    const gap = numbersOf(this.header, "driving.lips.gap", [])[0];
    const opening = numbersOf(this.header, "driving.lips.opening", [this.neutral.length]);
    const closedGap = quantile(frames.map((frame) => gap + dot(frame, opening)), this.options.lips.closed_quantile);
    const openGap = this.neutral.reduce((sum, weight, e) => sum + Math.max(weight * opening[e], 0), 0);
    const scale = openGap > 0 ? clamp(1 - closedGap / openGap, 0, 1) : 1;
    this.neutral = this.neutral.map((weight, e) => (weight * opening[e] > 0 ? scale * weight : weight));
  }

  /** The pose of the avatar, limited to its trained range.
   * @param {number[]} weights [E] from `mapped` @param {number[]} jointRot [15] @param {number[]} rotation [9] of the
   * head @param {number[] | null} position [3] meters; null: not measured @param {number} gap of the motion's lips, meters;
   * only used with a `contact` @returns {HeadParams} */
  params(weights, jointRot, rotation, position, gap = 0) {
    const { range, meanPosition, contact } = this, { travel: part } = this.options.retargeting;
    const travel = position && meanPosition ? scaled(subtract(position, meanPosition), part) : [0, 0, 0];
    const pose = range.limited({
      expression: this.replaceNeutral(weights),
      jointRot: [0, 0, 0, 0, 0, 0, ...jointRot.slice(6)],
      rotation: multiply(rotation, this.change),
      position: add(range.meanPosition, travel),
    });
    return range.headParams(contact ? { ...pose, expression: contact.apply(gap, pose.expression) } : pose);
  }

  /** @param {number[]} weights @returns {number[]} */
  #limit(weights) {
    const count = this.names.length;
    return weights.map((value, e) => clamp(value, this.limits[e], this.limits[count + e]));
  }
}

/** Lips of the avatar that touch where those of a motion do; as LipContact of avatar/driving/lip_closure.py. */
class LipContact {
  /** Null where a head has no lips, or the motion has other expressions than the embedded head, which it was made for.
   * @param {AvatarHeader} header of the container @param {string[]} names of the motion's expressions */
  static of(header, names) {
    const { lips, embedded_lips: source } = header.driving;
    const known = source?.names, close = header.head.expression_names.indexOf("mouthClose");
    if (!lips || close < 0 || !Array.isArray(known) || names.some((name) => !known.includes(name))) return null;
    return new LipContact(header, names, known, close);
  }

  /** @param {AvatarHeader} header @param {string[]} names of the motion's expressions
   * @param {string[]} known names of the embedded head's @param {number} close column of mouthClose */
  constructor(header, names, known, close) {
    const lips = (/** @type {string} */ entry, /** @type {number} */ count) => ({
      gap: numbersOf(header, `driving.${entry}.gap`, [])[0],
      opening: numbersOf(header, `driving.${entry}.opening`, [count]),
    });
    this.options = drivingOptions(header).lips;
    this.source = lips("embedded_lips", known.length);
    this.columns = names.map((name) => known.indexOf(name));
    this.target = lips("lips", header.head.expression_names.length);
    this.close = close;
  }

  /** The lip gap in meters of the embedded head. @param {ArrayLike<number>} weights of the motion */
  gapOf(weights) {
    const { gap, opening } = this.source;
    return this.columns.reduce((sum, column, k) => sum + opening[column] * weights[k], gap);
  }

  /** Weights [E] whose mouthClose makes the lip gap that of the motion, where its lips touch.
   * @param {number} gap of the motion, meters @param {number[]} expression [E] of the avatar */
  apply(gap, expression) {
    const { target, close } = this, effect = -target.opening[close];
    if (effect <= 0) return expression;
    const { touching, apart } = this.options;
    const near = clamp((apart - gap) / (apart - touching), 0, 1);
    const excess = target.gap + dot(target.opening, expression) - gap, out = [...expression];
    out[close] = clamp(out[close] + (near * near * (3 - 2 * near) * excess) / effect, 0, 1);
    return out;
  }
}

/** Quantile of values, linear between neighbors. @param {number[]} values @param {number} fraction 0..1 */
export function quantile(values, fraction) {
  const ordered = Float64Array.from(values).sort();
  const place = fraction * (ordered.length - 1), low = Math.floor(place);
  const high = Math.min(low + 1, ordered.length - 1);
  return ordered[low] + (place - low) * (ordered[high] - ordered[low]);
}

/** Chordal mean of rotations: the main eigenvector of the sum of q q^T (Markley et al. 2007), by power iteration.
 * @param {number[][]} rotations matrices [9] */
export function meanRotation(rotations) {
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
  const [w, x, y, z] = mean;
  writeMatrix(matrix, 0, w, x, y, z);
  return matrix;
}
