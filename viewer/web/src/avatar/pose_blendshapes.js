/** Positions and colors of the Gaussians by the rotation of the head, see docs/formats/avatar.md. */
import { QuantizedBasis } from "./quantized_basis.js";
/** @import { AvatarContainer } from "../container/avatar_container.js" */

const TERMS = 7;
const NOTICEABLE = 1e-3; // change of a weight from which on the sums are computed anew; 1 is a rotation by 0.3 rad

export class PoseBlendshapes {
  #weights = new Array(TERMS).fill(0);

  /** @param {AvatarContainer} container
   * @param {Float32Array} offsets [3,N] positions at the mean pose, which `blend` changes from the Gaussian M on
   * @param {Float32Array} colors [3,N] at the mean pose, which `blend` changes */
  constructor(container, offsets, colors) {
    const { N, M, P } = container.sizes;
    if (P !== N - M) throw container.damaged("shape of pose_blendshapes.positions");
    this.limit = [...container.numbers("torso.limit", [7])].slice(1, 4);
    this.turn = container.numbers("pose_blendshapes.turn", [])[0];
    this.changed = [
      { basis: new QuantizedBasis(container, "pose_blendshapes.positions", P), out: offsets, rest: offsets.slice() },
      { basis: new QuantizedBasis(container, "pose_blendshapes.colors", N), out: colors, rest: colors.slice() },
    ];
  }

  /** Changes positions and colors for a rotation of the skull; returns whether they differ from those before.
   * @param {number[]} rotation [3] axis-angle radians from the mean, see `TorsoMap.features` @returns {boolean} */
  blend(rotation) {
    // In the range of the training, which is an ellipsoid.
    const reach = Math.max(Math.hypot(...rotation.map((value, k) => value / this.limit[k])), 1);
    const [x, y, z] = rotation.map((value) => value / (this.turn * reach));
    const weights = [x, y, z, x * x, y * y, z * z, x * y];
    if (weights.every((value, k) => Math.abs(value - this.#weights[k]) <= NOTICEABLE)) return false;
    this.#weights = weights;
    for (const { basis, out, rest } of this.changed)
      for (let channel = 0; channel < 3; channel++) {
        const rows = weights.map((_, term) => 3 * term + channel);
        const unit = basis.sum(rows, weights), { sums, count } = basis;
        // The basis is that of the last Gaussians of a row.
        for (let k = 0, at = (channel + 1) * (out.length / 3) - count; k < count; k++, at++)
          out[at] = rest[at] + unit * sums[k];
      }
    return true;
  }
}
