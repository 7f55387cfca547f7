/** Smooths samples of a face: head, mouth, brows, lids and eyes each in their own way; as avatar/driving/live/smoothing.py. */
import { axisAngleOf, rotationOf } from "../avatar/linear.js";
import { drivingOptions } from "../container/driving_options.js";
import { OneEuro, OneEuroRotation, OneEuroVector } from "./one_euro.js";
/** @import { AvatarHeader } from "../container/avatar_container.js" */
/** @import { DrivingOptions } from "../container/driving_options.js" */
/** @import { FaceSample } from "./face_fitter.js" */

const EYE_JOINTS = 9;

/** The filter of a weight. @param {string} name @param {DrivingOptions["smoothing"]} smoothing */
function groupOf(name, { lids, brows, eyes, mouth }) {
  if (/^(eyeBlink|eyelid)/.test(name)) return lids;
  if (name.startsWith("brow")) return brows;
  return name.startsWith("eye") ? eyes : mouth;
}

export class FaceFilter {
  /** @param {string[]} names of the expression weights @param {AvatarHeader} header of the container */
  constructor(names, header) {
    const { smoothing } = drivingOptions(header);
    const groups = names.map((name) => groupOf(name, smoothing));
    this.weights = new OneEuro(groups.map(([cutoff]) => cutoff), groups.map(([, beta]) => beta));
    this.turn = new OneEuroRotation(...smoothing.turn);
    this.travel = new OneEuroVector(...smoothing.travel);
    this.eyes = [0, 1].map(() => new OneEuroVector(...smoothing.eyes));
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
