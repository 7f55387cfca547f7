/** Moves what follows the torso out of the skull frame, by weight: positions by linear blend skinning, rotations by
 * interpolated quaternions. */
import { apply, multiply, quatOf, subtract, transposed, writeMatrix } from "./linear.js";
/** @import { RigidPose } from "./head.js" */

export class TorsoBend {
  #rotation = new Float64Array(9);
  /** @type {number[]} */
  #pose = [];
  #quat = [1, 0, 0, 0];

  /** Sets the poses; returns whether the torso has moved in the skull frame.
   * @param {RigidPose} skull skull frame -> world @param {RigidPose} torso */
  setPoses(skull, torso) {
    const inverse = transposed(skull.rotation);
    const rotation = multiply(inverse, torso.rotation);
    const translation = apply(inverse, subtract(torso.translation, skull.translation));
    const pose = [...rotation, ...translation];
    const hasMoved = pose.some((value, k) => value !== this.#pose[k]);
    this.#pose = pose;
    const quat = quatOf(rotation);
    this.#quat = quat[0] < 0 ? quat.map((value) => -value) : quat;
    return hasMoved;
  }

  /** Moves the mean at `at` and the axes [3,3] at `k` by a weight of the torso, 0..1.
   * @param {number} weight @param {Float32Array} means @param {number} at @param {Float32Array} axes
   * @param {number} k */
  bend(weight, means, at, axes, k) {
    const pose = this.#pose, [w, x, y, z] = this.#quat, rest = 1 - weight, turn = this.#rotation;
    const a = means[at], b = means[at + 1], c = means[at + 2];
    for (let row = 0; row < 3; row++)
      means[at + row] = rest * means[at + row] +
        weight * (pose[3 * row] * a + pose[3 * row + 1] * b + pose[3 * row + 2] * c + pose[9 + row]);
    const real = rest + weight * w;
    const factor = 1 / Math.sqrt(real * real + weight * weight * (x * x + y * y + z * z)), part = factor * weight;
    writeMatrix(turn, 0, factor * real, part * x, part * y, part * z);
    for (let column = k; column < k + 3; column++) {
      const p = axes[column], q = axes[column + 3], r = axes[column + 6];
      axes[column] = turn[0] * p + turn[1] * q + turn[2] * r;
      axes[column + 3] = turn[3] * p + turn[4] * q + turn[5] * r;
      axes[column + 6] = turn[6] * p + turn[7] * q + turn[8] * r;
    }
  }
}
