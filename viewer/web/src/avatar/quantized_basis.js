/** Weighted sums of the rows of a quantized basis. */
/** @import { AvatarContainer } from "../container/avatar_container.js" */

const LARGEST = 1 << 23; // of the sum of all weights, so that sums of 8-bit numbers fit into 32 bits
const GROUP = 5; // rows that are added at once: a pass over the sums costs as much as one over a row

export class QuantizedBasis {
  /** @param {AvatarContainer} container @param {string} name of a block of 8-bit numbers, symmetric about 0
   * @param {number} count columns */
  constructor(container, name, count) {
    this.count = count;
    this.basis = container.raw(name);
    this.scales = container.scales(name);
    /** [count] of the last sum, as multiples of the unit that `sum` returns. */
    this.sums = new Int32Array(count);
    this.starts = new Int32Array(GROUP);
    this.factors = new Int32Array(GROUP);
  }

  /** Computes `sums` of rows times weights in whole numbers, which are faster than fractions; returns their unit.
   * @param {number[]} rows @param {number[]} weights of these rows @returns {number} */
  sum(rows, weights) {
    const { scales, sums, count } = this;
    const factors = rows.map((row, k) => weights[k] * scales[row]);
    const unit = factors.reduce((sum, factor) => sum + Math.abs(factor), 0) / LARGEST || 1;
    sums.fill(0);
    for (let k = 0; k < rows.length; k += GROUP) {
      // What is missing in the last group is a row with factor 0.
      this.starts.fill(0);
      this.factors.fill(0);
      this.starts.set(rows.slice(k, k + GROUP).map((row) => row * count));
      this.factors.set(factors.slice(k, k + GROUP).map((factor) => Math.round(factor / unit)));
      this.#addGroup();
    }
    return unit;
  }

  /** Adds rows of the basis to `sums`. */
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
