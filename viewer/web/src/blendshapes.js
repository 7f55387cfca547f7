/** Offsets of the Gaussians by expression: weights of the bases, and their sum. */
import { clamp } from "./linear.js";

const CHANNELS = 11;
const SOFT_CLAMP = 1.5;
const GROUP = 4; // bases that are added at once

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
    this.offsets.fill(0);
    for (let base = 0; base < this.bases; base += GROUP)
      for (let channel = 0; channel < CHANNELS; channel++) this.#addGroup(weights, base, channel);
  }

  /** Adds a channel of up to four bases at once: a pass over the offsets costs as much as one over a basis. */
  #addGroup(weights, first, channel) {
    const { basis, scales, offsets, count, bases } = this;
    const rows = [0, 1, 2, 3].map((k) => Math.min(first + k, bases - 1) * CHANNELS + channel);
    const [f0, f1, f2, f3] = rows.map((row, k) => (first + k < bases ? weights[first + k] * scales[row] : 0));
    const [r0, r1, r2, r3] = rows.map((row) => row * count);
    const to = channel * count;
    for (let k = 0; k < count; k++)
      offsets[to + k] += f0 * basis[r0 + k] + f1 * basis[r1 + k] + f2 * basis[r2 + k] + f3 * basis[r3 + k];
  }
}
