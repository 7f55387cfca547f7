/** Offsets of the Gaussians by expression: weights of the bases, and their sum. */
import { clamp } from "./linear.js";
/** @import { AvatarContainer } from "../container/avatar_container.js" */
/** @import { HeadParams } from "./head.js" */

const CHANNELS = 11;
const SOFT_CLAMP = 1.5;
const LARGEST = 1 << 23; // of the sum of all weights, so that sums of 8-bit numbers fit into 32 bits
const GROUP = 5; // bases that are added at once: a pass over the sums costs as much as one over a basis

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
    this.basis = container.raw("gaussians.basis");
    this.scales = container.scales("gaussians.basis");
    /** Offsets [11, count] of the last pose, by channel: position, quaternion, color, opacity logit. */
    this.offsets = new Float32Array(CHANNELS * this.count);
    this.sums = new Int32Array(this.count);
    this.starts = new Int32Array(GROUP);
    this.factors = new Int32Array(GROUP);
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
    const weights = this.#weights(params);
    const used = [...weights.keys()].filter((base) => weights[base] !== 0);
    for (let channel = 0; channel < CHANNELS; channel++) this.#blendChannel(weights, used, channel);
  }

  /** Sums a channel over bases in whole numbers, which are faster than fractions: weights as multiples of `unit`.
   * @param {number[]} weights @param {number[]} bases @param {number} channel */
  #blendChannel(weights, bases, channel) {
    const { scales, offsets, sums, count } = this;
    const rows = bases.map((base) => base * CHANNELS + channel);
    const factors = rows.map((row, k) => weights[bases[k]] * scales[row]);
    const unit = factors.reduce((sum, factor) => sum + Math.abs(factor), 0) / LARGEST || 1;
    sums.fill(0);
    for (let k = 0; k < bases.length; k += GROUP) {
      // What is missing in the last group is a row with factor 0.
      this.starts.fill(0);
      this.factors.fill(0);
      this.starts.set(rows.slice(k, k + GROUP).map((row) => row * count));
      this.factors.set(factors.slice(k, k + GROUP).map((factor) => Math.round(factor / unit)));
      this.#addGroup();
    }
    for (let k = 0, to = channel * count; k < count; k++, to++) offsets[to] = unit * sums[k];
  }

  /** Adds rows of the bases to `sums`. */
  #addGroup() {
    const { basis, sums, count, starts, factors } = this;
    const f0 = factors[0], f1 = factors[1], f2 = factors[2], f3 = factors[3], f4 = factors[4];
    const r0 = starts[0], r1 = starts[1], r2 = starts[2], r3 = starts[3], r4 = starts[4];
    for (let k = 0; k < count; k++)
      sums[k] =
        (sums[k] + Math.imul(f0, basis[r0 + k]) + Math.imul(f1, basis[r1 + k]) + Math.imul(f2, basis[r2 + k]) +
        Math.imul(f3, basis[r3 + k]) + Math.imul(f4, basis[r4 + k])) | 0; // so that the browser computes in whole numbers
  }
}
