/** The One Euro filter: steady when slow, quick when fast (Casiez, Roussel, Vogel, CHI 2012, algorithm 1).
 *
 * As avatar/driving/live/one_euro.py: the state moves by a fraction of the difference to the measurement, so that the same code
 * filters numbers, vectors and, with differences in the tangent space, rotations. */
import { axisAngleOf, multiply, rotationOf, transposed } from "../avatar/linear.js";

/** Cutoff of the low-pass filter of the speed, hertz. */
const SPEED_CUTOFF = 1;

/** Weight of a new value in a first-order low-pass filter of `cutoff` hertz after `step` seconds. */
function weightOf(cutoff, step) {
  return 1 / (1 + 1 / (2 * Math.PI * cutoff * step));
}

/** A filter of numbers, each with a speed of its own. */
export class OneEuro {
  /** @param {number[]} cutoffs hertz at rest, for each number @param {number[]} betas hertz per unit of speed */
  constructor(cutoffs, betas) {
    this.cutoffs = cutoffs;
    this.betas = betas;
    this.reset();
  }

  /** Clears the state: the next value passes unfiltered. */
  reset() {
    this.value = this.speed = null;
    this.time = 0;
  }

  /** The filtered value. @param {number[]} value @param {number} time seconds; one that is not later is ignored
   * @returns {number[]} */
  filter(value, time) {
    if (!this.value) this.#start(value, time);
    else if (time > this.time) this.#step(value, time - this.time, time);
    return [...this.value];
  }

  /** How far `value` is from `other`. */
  difference(value, other) {
    return value.map((number, k) => number - other[k]);
  }

  /** `value` moved by a difference. */
  moved(value, step) {
    return value.map((number, k) => number + step[k]);
  }

  /** The speed that sets the cutoff of each number. */
  magnitudes(speed) {
    return speed.map(Math.abs);
  }

  #start(value, time) {
    this.value = [...value];
    this.time = time;
  }

  #step(value, step, time) {
    const error = this.difference(value, this.value);
    const speed = this.speed ?? error.map(() => 0);
    const settling = weightOf(SPEED_CUTOFF, step);
    this.speed = speed.map((each, k) => each + settling * (error[k] / step - each));
    const cutoffs = this.magnitudes(this.speed).map((each, k) => this.cutoffs[k] + this.betas[k] * each);
    this.value = this.moved(this.value, error.map((each, k) => weightOf(cutoffs[k], step) * each));
    this.time = time;
  }
}

/** A filter of one vector, with one speed for its components: it keeps the direction. */
export class OneEuroVector extends OneEuro {
  /** @param {number} cutoff hertz at rest @param {number} beta hertz per unit of speed @param {number} [size] */
  constructor(cutoff, beta, size = 3) {
    super(new Array(size).fill(cutoff), new Array(size).fill(beta));
  }

  magnitudes(speed) {
    return speed.map(() => Math.hypot(...speed));
  }
}

/** A filter of a rotation matrix [9] in the tangent space at the present one; speeds in radians per second. */
export class OneEuroRotation extends OneEuroVector {
  difference(value, other) {
    return axisAngleOf(multiply(value, transposed(other)));
  }

  moved(value, step) {
    return multiply(rotationOf(...step), value);
  }
}
