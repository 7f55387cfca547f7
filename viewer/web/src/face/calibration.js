/** Finds the resting face: the first second in which the face is at rest. As avatar/driving/live/calibration.py. */
import { drivingOptions } from "../container/driving_options.js";
import { FaceDriver, restingFace } from "./face_driver.js";
import { Retargeting, quantile } from "../motions/retargeting.js";
/** @import { TrainedRange } from "../avatar/trained_range.js" */
/** @import { AvatarHeader } from "../container/avatar_container.js" */
/** @import { RestingFace } from "./face_driver.js" */
/** @import { FaceSample } from "./face_fitter.js" */

const RESTLESS = /^(eyeBlink|eyelid|eyeLook)/; // expressions that also move in a resting face

export class Calibration {
  /** @param {AvatarHeader} header of the container @param {TrainedRange} range
   * @param {string[]} names of the person's expressions */
  constructor(header, range, names) {
    this.header = header;
    const { calibration, retargeting } = drivingOptions(header);
    this.options = calibration;
    this.lowQuantile = retargeting.neutral_quantile;
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
    return this.movement <= this.options.still ? "" : "the face was never at rest; calibrate again with a resting face";
  }

  /** The driver after one more sample. @param {FaceSample} sample @returns {FaceDriver | null} */
  update(sample) {
    if (!this.isDone) this.#observe(sample);
    return this.driver;
  }

  /** @param {FaceSample} sample */
  #observe(sample) {
    const { seconds: length, longest, still, max_gap: maxGap, max_samples: maxSamples } = this.options;
    const last = this.window[this.window.length - 1];
    const step = last ? sample.seconds - last.seconds : 0;
    this.observed += Math.min(Math.max(step, 0), maxGap);
    if (!(step >= 0 && step <= maxGap)) this.window = [];
    this.window = [...this.window.filter(({ seconds }) => sample.seconds - seconds < length), sample];
    this.all = [...this.all, sample].slice(-maxSamples);
    const isBetter = this.#measure(sample);
    this.isDone ||= this.observed >= longest;
    const { window, best, isDone } = this;
    if (isDone || (isBetter && this.nextPreliminary < Infinity)) {
      this.#use(this.movement <= still || !isDone ? restingFace(best) : this.#lowFace());
    } else if (!best.length && window.length >= this.nextPreliminary) {
      this.nextPreliminary = 2 * window.length;
      this.#use(restingFace(window));
    }
    if (isDone) this.all = [];
  }

  /** Compares the window with the best one; ends the calibration where the face is at rest.
   * @param {FaceSample} sample @returns {boolean} */
  #measure(sample) {
    const { seconds, still, min_span: minSpan, better } = this.options;
    if (sample.seconds - this.window[0].seconds < minSpan * seconds) return false;
    const moved = movementOf(this.window, this.names);
    this.isDone = moved <= still;
    const isBetter = this.isDone || moved < better * this.movement;
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
      RESTLESS.test(this.names[e]) ? weight : quantile(this.all.map(({ expression }) => expression[e]), this.lowQuantile),
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
