/** Offsets of the Gaussians by expression: weights of the bases, and their sum. */
import { clamp } from "./linear.js";

const CHANNELS = 11;
const SOFT_CLAMP = 1.5;
const GROUP = 5; // bases that are added at once: a pass over the offsets costs as much as one over a basis

export class Blendshapes {
  /** @param {import("./container.js").Container} container @param {number} expressions */
  constructor(container, expressions) {
    const { gaussians } = container.header;
    const features = expressions + 9;
    this.reduced = gaussians.mode === "reduced";
    this.count = container.sizes.M;
    this.bases = container.sizes.C / CHANNELS;
    for (const key of ["mean", "spread", "low", "high"])
      this[key] = container.numbers(`gaussians.${key}`, [features]);
    if (this.reduced) {
      this.components = container.numbers("gaussians.components", [features, this.bases]);
      this.mix = container.numbers("gaussians.mix", [this.bases, this.bases]);
    }
    this.basis = container.raw("gaussians.basis");
    this.scales = container.scales("gaussians.basis");
    /** Offsets [11, count] of the last pose, by channel: position, quaternion, color, opacity logit. */
    this.offsets = new Float32Array(CHANNELS * this.count);
  }

  /** Weights [K] for the parameters of a frame. @param {import("./head.js").HeadParams} params */
  #weights({ expression, jointRot }) {
    const features = [...expression, ...jointRot.slice(6)];
    const { mean, spread, low, high, components, mix, bases } = this;
    if (!this.reduced)
      return features.map((value, k) => {
        const margin = 0.15 * (high[k] - low[k]);
        return clamp(value, low[k] - margin, high[k] + margin);
      });
    const projected = new Float64Array(bases);
    features.forEach((value, k) => {
      const standard = SOFT_CLAMP * Math.tanh((value - mean[k]) / (SOFT_CLAMP * spread[k]));
      for (let base = 0; base < bases; base++) projected[base] += standard * components[k * bases + base];
    });
    return Array.from(projected, (_, row) =>
      projected.reduce((sum, value, base) => sum + mix[row * bases + base] * value, 0),
    );
  }

  /** Computes `offsets` for the parameters of a frame. @param {import("./head.js").HeadParams} params */
  blend(params) {
    const weights = this.#weights(params);
    const used = [...weights.keys()].filter((base) => weights[base] !== 0);
    this.offsets.fill(0);
    for (let k = 0; k < used.length; k += GROUP)
      for (let channel = 0; channel < CHANNELS; channel++) this.#addGroup(weights, used.slice(k, k + GROUP), channel);
  }

  /** Adds a channel of up to five bases at once. */
  #addGroup(weights, bases, channel) {
    const { basis, scales, offsets, count } = this;
    const rows = bases.map((base) => base * CHANNELS + channel);
    const factors = rows.map((row, k) => weights[bases[k]] * scales[row]);
    // What is missing in the last group is a basis with weight 0.
    const [f0, f1 = 0, f2 = 0, f3 = 0, f4 = 0] = factors;
    const [r0, r1 = r0, r2 = r0, r3 = r0, r4 = r0] = rows.map((row) => row * count);
    const to = channel * count;
    for (let k = 0; k < count; k++)
      offsets[to + k] +=
        f0 * basis[r0 + k] + f1 * basis[r1 + k] + f2 * basis[r2 + k] + f3 * basis[r3 + k] + f4 * basis[r4 + k];
  }
}
