/** Blinks and squints limited so that the lids meet and do not cross; as avatar/driving/lid_closure.py. */
import { numbersOf } from "../container/container.js";
import { drivingOptions } from "../container/driving_options.js";
import { clamp } from "./linear.js";
/** @import { AvatarHeader } from "../container/avatar_container.js" */

export class LidClosure {
  /** @param {AvatarHeader} header of the container @param {number} count expressions */
  constructor(header, count) {
    const rows = (/** @type {string} */ name) => {
      const values = numbersOf(header, `driving.lids.${name}`, [2, count]);
      return [values.subarray(0, count), values.subarray(count)];
    };
    this.options = drivingOptions(header).lids;
    this.closing = rows("closing");
    this.closers = rows("closers");
    this.blinks = numbersOf(header, "driving.lids.blinks", [2]);
    this.extra = numbersOf(header, "driving.lids.extra", [2]);
  }

  /** Limited weights [E]. @param {number[]} start [E] weights */
  apply(start) {
    const weights = [...start];
    this.closing.forEach((closing, eye) => this.#limit(weights, closing, this.closers[eye]));
    if (this.blinks.some((column) => column < 0)) return weights;
    const extras = this.closing.map((closing, eye) => this.#missing(weights, closing, start[this.blinks[eye]], eye));
    extras.forEach((extra, eye) => (weights[this.extra[eye]] += extra));
    return weights;
  }

  /** Scales the weights that close an eye, so that its lids meet.
   * @param {number[]} weights @param {Float64Array} closing @param {Float64Array} closers */
  #limit(weights, closing, closers) {
    const { soft } = this.options;
    const opening = 1 - dot(weights, closing);
    const near = clamp(opening + soft, 0, 2 * soft);
    const target = opening > soft ? opening : (near * near) / (4 * soft);
    let closed = 0;
    weights.forEach((weight, e) => (closed += closers[e] ? Math.max(weight * closing[e], 0) : 0));
    const scale = clamp(1 - (target - opening) / Math.max(closed, 1e-6), 0, 1);
    closers.forEach((isCloser, e) => (weights[e] *= isCloser ? scale : 1));
  }

  /** What a full blink leaves open, as a weight.
   * @param {number[]} weights @param {Float64Array} closing @param {number} blink @param {number} eye */
  #missing(weights, closing, blink, eye) {
    const { closing: start, overlap } = this.options;
    const t = clamp((blink - start) / (1 - start), 0, 1);
    const gap = Math.max(1 - overlap - dot(weights, closing), 0);
    return (t * t * (3 - 2 * t) * gap) / Math.max(closing[this.extra[eye]], 0.1);
  }
}

/** Sum of products. @param {ArrayLike<number>} a @param {ArrayLike<number>} b @returns {number} */
export function dot(a, b) {
  let sum = 0;
  for (let k = 0; k < b.length; k++) sum += a[k] * b[k];
  return sum;
}
