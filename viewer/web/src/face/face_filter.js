/** Smooths samples of a face: head, mouth, brows, lids and eyes each in their own way; as avatar/driving/live/smoothing.py. */
import { axisAngleOf, rotationOf } from "../avatar/linear.js";
import { OneEuro, OneEuroRotation, OneEuroVector } from "./one_euro.js";
/** @import { FaceSample } from "./face_fitter.js" */

/** Cutoff at rest (hertz) and its rise (hertz per unit of speed: radians, meters or weights a second). */
/** @typedef {[number, number]} Smoothing */
/** @type {Smoothing} */
const TURN = [2, 10];
/** @type {Smoothing} */
const TRAVEL = [2, 60];
const MOUTH = [2, 1.5];
const BROWS = [1, 1];
const LIDS = [15, 10]; // blinks: almost unfiltered
/** @type {Smoothing} */
const EYES = [2, 6];
const EYE_JOINTS = 9;

function groupOf(/** @type {string} */ name) {
  if (/^(eyeBlink|eyelid)/.test(name)) return LIDS;
  if (name.startsWith("brow")) return BROWS;
  return name.startsWith("eye") ? EYES : MOUTH;
}

export class FaceFilter {
  /** @param {string[]} names of the expression weights */
  constructor(names) {
    const groups = names.map(groupOf);
    this.weights = new OneEuro(groups.map(([cutoff]) => cutoff), groups.map(([, beta]) => beta));
    this.turn = new OneEuroRotation(...TURN);
    this.travel = new OneEuroVector(...TRAVEL);
    this.eyes = [0, 1].map(() => new OneEuroVector(...EYES));
  }

  /** Clears the state: the next sample passes unfiltered. */
  reset() {
    for (const each of [this.weights, this.turn, this.travel, ...this.eyes]) each.reset();
  }

  /** The smoothed sample. @param {FaceSample} sample */
  filter(sample) {
    const { seconds, jointRot } = sample;
    const turn = this.turn.filter(rotationOf(jointRot.slice(0, 3)), seconds);
    const eyes = this.eyes.flatMap((eye, k) =>
      eye.filter(jointRot.slice(EYE_JOINTS + 3 * k, EYE_JOINTS + 3 * k + 3), seconds),
    );
    return {
      ...sample,
      expression: this.weights.filter(sample.expression, seconds),
      jointRot: [...axisAngleOf(turn), ...jointRot.slice(3, EYE_JOINTS), ...eyes],
      translation: this.travel.filter(sample.translation, seconds),
    };
  }
}
