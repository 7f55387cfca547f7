/** Offsets of the Gaussians by expression: weights of the bases, and their sum. */
import { clamp } from "./linear.js";
import { QuantizedBasis } from "./quantized_basis.js";
/** @import { AvatarContainer } from "../container/avatar_container.js" */
/** @import { HeadParams } from "./head.js" */

const CHANNELS = 11;
const SOFT_CLAMP = 1.5;

/** Row vector [n] times matrix [n,columns].
 * @param {ArrayLike<number>} row @param {ArrayLike<number>} matrix @param {number} columns @returns {Float64Array} */
function product(row, matrix, columns) {
  const sums = new Float64Array(columns);
  for (let k = 0; k < row.length; k++)
    for (let column = 0; column < columns; column++) sums[column] += row[k] * matrix[k * columns + column];
  return sums;
}

/** What a network with one hidden layer adds to the weights [K], as a function of the features; null without one.
 * @param {AvatarContainer} container @param {number} features @param {number} bases
 * @returns {((standard: number[]) => Float64Array) | null} */
function weightNetwork(container, features, bases) {
  const units = container.header.gaussians.network?.hidden_bias?.length;
  if (units === undefined) return null;
  /** @type {(name: string, shape: number[]) => Float64Array} */
  const numbers = (name, shape) => container.numbers(`gaussians.network.${name}`, shape);
  const hidden = numbers("hidden", [features, units]), hiddenBias = numbers("hidden_bias", [units]);
  const output = numbers("output", [units, bases]), outputBias = numbers("output_bias", [bases]);
  return (standard) => {
    const active = product(standard, hidden, units).map((value, unit) => Math.max(0, value + hiddenBias[unit]));
    return product(active, output, bases).map((value, base) => value + outputBias[base]);
  };
}

export class Blendshapes {
  /** @param {AvatarContainer} container @param {number} expressions */
  constructor(container, expressions) {
    const { gaussians } = container.header;
    const features = expressions + 9;
    this.count = container.sizes.M;
    this.bases = container.sizes.C / CHANNELS;
    this.mean = container.numbers("gaussians.mean", [features]);
    this.spread = container.numbers("gaussians.spread", [features]);
    this.low = container.numbers("gaussians.low", [features]);
    this.high = container.numbers("gaussians.high", [features]);
    /** From features to the weights of the bases; null where these are the features. */
    this.reduction = gaussians.mode === "reduced" ? {
      components: container.numbers("gaussians.components", [features, this.bases]),
      mix: container.numbers("gaussians.mix", [this.bases, this.bases]),
      network: weightNetwork(container, features, this.bases),
    } : null;
    this.basis = new QuantizedBasis(container, "gaussians.basis", this.count);
    /** Offsets [11, count] of the last pose, by channel: position, quaternion, color, opacity logit. */
    this.offsets = new Float32Array(CHANNELS * this.count);
  }

  /** Weights [K] for the parameters of a frame. @param {HeadParams} params */
  #weights({ expression, jointRot }) {
    const features = [...expression, ...jointRot.slice(6)];
    const { mean, spread, low, high, reduction, bases } = this;
    if (!reduction)
      return features.map((value, k) => {
        const margin = 0.15 * (high[k] - low[k]);
        return clamp(value, low[k] - margin, high[k] + margin);
      });
    const standard = features.map((value, k) => SOFT_CLAMP * Math.tanh((value - mean[k]) / (SOFT_CLAMP * spread[k])));
    const { components, mix, network } = reduction;
    const projected = product(standard, components, bases);
    const added = network?.(standard);
    return Array.from(projected, (_, row) =>
      projected.reduce((sum, value, base) => sum + mix[row * bases + base] * value, added?.[row] ?? 0),
    );
  }

  /** Computes `offsets` for the parameters of a frame. @param {HeadParams} params */
  blend(params) {
    const { basis, offsets, count } = this;
    const weights = this.#weights(params);
    const used = [...weights.keys()].filter((base) => weights[base] !== 0);
    const factors = used.map((base) => weights[base]);
    for (let channel = 0; channel < CHANNELS; channel++) {
      const unit = basis.sum(used.map((base) => base * CHANNELS + channel), factors), { sums } = basis;
      for (let k = 0, to = channel * count; k < count; k++, to++) offsets[to] = unit * sums[k];
    }
  }
}
