/** The One Euro filter: steady when slow, quick when fast (Casiez, Roussel, Vogel, CHI 2012, algorithm 1).
 *
 * As avatar/driving/live/one_euro.py: the state moves by a fraction of the difference to the measurement, so that the same code
 * filters numbers, vectors and, with differences in the tangent space, rotations. */
import { axisAngleOf, multiply, rotationOf, transposed } from "../avatar/linear.js";

/** Cutoff of the low-pass filter of the speed, hertz. */
const SPEED_CUTOFF = 1;

/** Weight of a new value in a first-order low-pass filter of `cutoff` hertz after `step` seconds.
 * @param {number} cutoff @param {number} step */
function weightOf(cutoff, step) {
  return 1 / (1 + 1 / (2 * Math.PI * cutoff * step));
}

/** A filter of numbers, each with a speed of its own. */
export class OneEuro {
  /** @param {number[]} cutoffs hertz at rest, for each number @param {number[]} betas hertz per unit of speed */
  constructor(cutoffs, betas) {
    this.cutoffs = cutoffs;
    this.betas = betas;
    /** The last value; null before the first one. @type {number[] | null} */
    this.value = null;
    /** @type {number[] | null} */
    this.speed = null;
    this.time = 0;
  }

  /** Clears the state: the next value passes unfiltered. */
  reset() {
    this.value = this.speed = null;
    this.time = 0;
  }

  /** The filtered value. @param {number[]} value @param {number} time seconds; one that is not later is ignored
   * @returns {number[]} */
  filter(value, time) {
    const last = this.value;
    if (last && !(time > this.time)) return [...last];
    const next = last ? this.#next(value, last, time - this.time) : [...value];
    this.value = next;
    this.time = time;
    return [...next];
  }

  /** How far `value` is from `other`. @param {number[]} value @param {number[]} other @returns {number[]} */
  difference(value, other) {
    return value.map((number, k) => number - other[k]);
  }

  /** `value` moved by a difference. @param {number[]} value @param {number[]} step @returns {number[]} */
  moved(value, step) {
    return value.map((number, k) => number + step[k]);
  }

  /** The speed that sets the cutoff of each number. @param {number[]} speed @returns {number[]} */
  magnitudes(speed) {
    return speed.map(Math.abs);
  }

  /** The value after `step` seconds.
   * @param {number[]} value @param {number[]} last @param {number} step @returns {number[]} */
  #next(value, last, step) {
    const error = this.difference(value, last);
    const speed = this.speed ?? error.map(() => 0);
    const settling = weightOf(SPEED_CUTOFF, step);
    this.speed = speed.map((each, k) => each + settling * (error[k] / step - each));
    const cutoffs = this.magnitudes(this.speed).map((each, k) => this.cutoffs[k] + this.betas[k] * each);
    return this.moved(last, error.map((each, k) => weightOf(cutoffs[k], step) * each));
  }
}

/** A filter of one vector, with one speed for its components: it keeps the direction. */
export class OneEuroVector extends OneEuro {
  /** @param {number} cutoff hertz at rest @param {number} beta hertz per unit of speed @param {number} [size] */
  constructor(cutoff, beta, size = 3) {
    super(new Array(size).fill(cutoff), new Array(size).fill(beta));
  }

  /** @override @param {number[]} speed @returns {number[]} */
  magnitudes(speed) {
    return speed.map(() => Math.hypot(...speed));
  }
}

/** A filter of a rotation matrix [9] in the tangent space at the present one; speeds in radians per second. */
export class OneEuroRotation extends OneEuroVector {
  /** @override @param {number[]} value @param {number[]} other @returns {number[]} */
  difference(value, other) {
    return axisAngleOf(multiply(value, transposed(other)));
  }

  /** @override @param {number[]} value @param {number[]} step @returns {number[]} */
  moved(value, step) {
    return multiply(rotationOf(step), value);
  }
}
