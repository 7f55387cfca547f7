/** Hidden regions of a face: their expression stays as it was before something came before them. As
 * avatar/driving/live/region_hold.py. */
import { clamp } from "../avatar/linear.js";
import { smoothstep } from "./presence.js";
/** @import { FaceSample } from "./face_fitter.js" */

/** Seconds before the report from which the held expression is, and of the blends to it and back. */
const LOOK_BACK = 0.25, HOLD_FADE = 0.1, RELEASE_FADE = 0.2;
/** Expressions of each region, and where its joints start and end in jointRot. */
const REGIONS = {
  eyes: { names: /^(eye|brow|cheekSquint)/, joints: [9, 15] },
  mouth: { names: /^(jaw|mouth|tongue|cheekPuff)/, joints: [6, 9] },
};

/** @typedef {{expression: number[], jointRot: number[]}} Face */

/** Holds the expression of hidden regions in the samples of a camera. */
export class RegionHold {
  /** Results, and their times in seconds. @type {{seconds: number, face: Face}[]} */
  #past = [];
  #holds;

  /** @param {string[]} names of the expression weights */
  constructor(names) {
    this.#holds = Object.entries(REGIONS).map(([region, { names: pattern, joints: [from, until] }]) => ({
      region, isHidden: false, since: 0, amount: 0, held: /** @type {Face | null} */ (null),
      columns: [...names.keys()].filter((e) => pattern.test(names[e])),
      joints: Array.from({ length: until - from }, (_, k) => from + k),
    }));
  }

  /** The sample with what is held of its hidden regions. @param {FaceSample} sample @returns {FaceSample} */
  apply(sample) {
    const { seconds } = sample, past = this.#past;
    const expression = [...sample.expression], jointRot = [...sample.jointRot];
    while (past.length > 1 && past[1].seconds <= seconds - LOOK_BACK) past.shift();
    for (const hold of this.#holds) {
      const amountNow = () => {
        const step = (seconds - hold.since) / (hold.isHidden ? HOLD_FADE : RELEASE_FADE);
        return clamp(hold.amount + (hold.isHidden ? step : -step), 0, 1);
      };
      if (sample.hidden.includes(hold.region) !== hold.isHidden) {
        hold.amount = amountNow();
        hold.since = seconds;
        hold.isHidden = !hold.isHidden;
        if (hold.isHidden && past.length) hold.held = past[0].face;
      }
      const amount = smoothstep(amountNow()), { held } = hold;
      if (!held || !amount) continue;
      for (const e of hold.columns) expression[e] += amount * (held.expression[e] - expression[e]);
      for (const k of hold.joints) jointRot[k] += amount * (held.jointRot[k] - jointRot[k]);
    }
    past.push({ seconds, face: { expression, jointRot } });
    return { ...sample, expression, jointRot };
  }
}
