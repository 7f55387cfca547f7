/** Finds the resting face: the first second in which the face is at rest. As avatar/driving/live/calibration.py. */
import { FaceDriver, restingFace } from "./face_driver.js";
import { Retargeting, quantile } from "../motions/retargeting.js";
/** @import { TrainedRange } from "../avatar/trained_range.js" */
/** @import { AvatarHeader } from "../container/avatar_container.js" */
/** @import { RestingFace } from "./face_driver.js" */
/** @import { FaceSample } from "./face_fitter.js" */

const SECONDS = 1; // of a window
const LONGEST = 6; // seconds after which calibration ends without a resting face
const STILL = 0.035; // movement up to which a face is at rest
const RESTLESS = /^(eyeBlink|eyelid|eyeLook)/; // expressions that also move in a resting face
const MAX_GAP = 0.25; // seconds between two samples beyond which a new window starts
const MIN_SPAN = 0.9; // fraction of SECONDS that a window spans at least
const BETTER = 0.9; // a window replaces the best one if it moves less than this fraction of it
const MAX_SAMPLES = 2048;
const LOW_QUANTILE = 0.2;

export class Calibration {
  /** @param {AvatarHeader} header of the container @param {TrainedRange} range
   * @param {string[]} names of the person's expressions */
  constructor(header, range, names) {
    this.header = header;
    this.range = range;
    this.names = names;
    /** From the first sample on. @type {FaceDriver | null} */
    this.driver = null;
    /** The last second, the best second so far, and all samples. @type {FaceSample[]} */
    this.window = [];
    /** @type {FaceSample[]} */
    this.best = [];
    /** @type {FaceSample[]} */
    this.all = [];
    this.movement = Infinity; // of the best window
    this.observed = 0; // seconds with a face
    this.nextPreliminary = 1; // samples after which a preliminary driver is made
    this.isDone = false;
  }

  /** Calibrates again; the present driver stays until that is done. */
  restart() {
    this.window = [];
    this.best = [];
    this.all = [];
    this.movement = Infinity;
    this.observed = 0;
    this.nextPreliminary = this.driver ? Infinity : 1;
    this.isDone = false;
  }

  /** What the person should do, or what went wrong; empty where all is well. */
  get note() {
    if (!this.isDone) return "look ahead and relax";
    return this.movement <= STILL ? "" : "the face was never at rest; calibrate again with a resting face";
  }

  /** The driver after one more sample. @param {FaceSample} sample @returns {FaceDriver | null} */
  update(sample) {
    if (!this.isDone) this.#observe(sample);
    return this.driver;
  }

  /** @param {FaceSample} sample */
  #observe(sample) {
    const last = this.window[this.window.length - 1];
    const step = last ? sample.seconds - last.seconds : 0;
    this.observed += Math.min(Math.max(step, 0), MAX_GAP);
    if (!(step >= 0 && step <= MAX_GAP)) this.window = [];
    this.window = [...this.window.filter(({ seconds }) => sample.seconds - seconds < SECONDS), sample];
    this.all = [...this.all, sample].slice(-MAX_SAMPLES);
    const isBetter = this.#measure(sample);
    this.isDone ||= this.observed >= LONGEST;
    const { window, best, isDone } = this;
    if (isDone || (isBetter && this.nextPreliminary < Infinity)) {
      this.#use(this.movement <= STILL || !isDone ? restingFace(best) : this.#lowFace());
    } else if (!best.length && window.length >= this.nextPreliminary) {
      this.nextPreliminary = 2 * window.length;
      this.#use(restingFace(window));
    }
    if (isDone) this.all = [];
  }

  /** Compares the window with the best one; ends the calibration where the face is at rest.
   * @param {FaceSample} sample @returns {boolean} */
  #measure(sample) {
    if (sample.seconds - this.window[0].seconds < MIN_SPAN * SECONDS) return false;
    const moved = movementOf(this.window, this.names);
    this.isDone = moved <= STILL;
    const isBetter = this.isDone || moved < BETTER * this.movement;
    if (isBetter) [this.best, this.movement] = [this.window, moved];
    return isBetter;
  }

  /** @param {RestingFace} rest */
  #use(rest) {
    this.driver = new FaceDriver(new Retargeting(this.header, this.range, this.names), this.names, rest);
  }

  /** The resting face of one that was never at rest: a low value of each expression. The calmest window may show a held
   * grimace, which would be lost. */
  #lowFace() {
    const face = restingFace(this.all);
    const weights = face.weights.map((weight, e) =>
      RESTLESS.test(this.names[e]) ? weight : quantile(this.all.map(({ expression }) => expression[e]), LOW_QUANTILE),
    );
    return { ...face, weights };
  }
}

/** Median over time of the RMS deviation from the median face, over all expressions but lids and gaze. */
function movementOf(/** @type {FaceSample[]} */ samples, /** @type {string[]} */ names) {
  const columns = names.flatMap((name, e) => (RESTLESS.test(name) ? [] : [e]));
  const rest = columns.map((e) => quantile(samples.map(({ expression }) => expression[e]), 0.5));
  const deviations = samples.map(({ expression }) => {
    const squares = columns.reduce((sum, e, k) => sum + (expression[e] - rest[k]) ** 2, 0);
    return Math.sqrt(squares / columns.length);
  });
  return quantile(deviations, 0.5);
}
