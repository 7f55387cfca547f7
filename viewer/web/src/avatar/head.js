/** The head mesh of the avatar: forward kinematics of five joints, bases of the vertices, linear blend skinning. */
import { add, apply, clamp, multiply, rotationOf, scaled, subtract } from "./linear.js";
/** @import { AvatarContainer } from "../container/avatar_container.js" */

const JOINTS = 5;
const NECK = 1;
const JAW = 2;

/** A posed skull: skull frame -> world.
 * @typedef {{rotation: number[], translation: number[]}} RigidPose */

/** Parameters of one frame.
 * @typedef {Object} HeadParams
 * @property {number[]} expression [E] weights
 * @property {number[]} jointRot [15] axis-angle radians of root, neck, jaw, left and right eye
 * @property {number[]} translation [3] meters
 * @property {number[]} [torso] [6] measured motion of the torso */

export class Head {
  /** @param {AvatarContainer} container */
  constructor(container) {
    const { head } = container.header;
    this.expressions = head.expression_names.length;
    this.vertexCount = container.sizes.V;
    this.template = container.floats("head.template");
    this.vertices = new Float32Array(3 * this.vertexCount);
    this.parents = [...container.numbers("head.parents", [JOINTS])];
    const joints = container.numbers("head.joints", [JOINTS, 3]);
    this.joints = this.parents.map((_, joint) => [...joints.subarray(3 * joint, 3 * joint + 3)]);
    this.jointDirs = container.numbers("head.joint_dirs", [JOINTS, 3, this.expressions]);
    this.curveColumns = [...container.numbers("head.curve_columns", [head.curve_columns.length])];
    this.baseCounts = container.raw("head.base_counts");
    this.baseVertices = container.raw("head.base_vertices");
    this.baseOffsets = container.floats("head.base_offsets");
    this.bentVertices = container.raw("head.bent_vertices");
    this.bentWeights = container.floats("head.bent_weights");
  }

  /** Rotations of the joints relative to their parents, those by expressions included.
   * @param {number[]} expression @param {number[]} jointRot */
  #localRotations(expression, jointRot) {
    const count = this.expressions;
    return this.joints.map((_, joint) => {
      const turn = [0, 1, 2].map((axis) => {
        const row = (3 * joint + axis) * count;
        let sum = jointRot[3 * joint + axis];
        for (let e = 0; e < count; e++) sum += this.jointDirs[row + e] * expression[e];
        return sum;
      });
      return rotationOf(turn);
    });
  }

  /** Rest pose -> posed of every joint, x -> R x + t.
   * @param {number[][]} local @param {number[]} translation @returns {RigidPose[]} */
  #forwardKinematics(local, translation) {
    /** @type {RigidPose[]} */
    const world = [];
    local.forEach((rotation, joint) => {
      const center = this.joints[joint];
      const offset = subtract(center, apply(rotation, center));
      const parent = world[this.parents[joint]];
      world.push(
        parent
          ? {
              rotation: multiply(parent.rotation, rotation),
              translation: add(apply(parent.rotation, offset), parent.translation),
            }
          : { rotation, translation: add(offset, translation) },
      );
    });
    return world;
  }

  /** The pose of the skull. @param {HeadParams} params @returns {RigidPose} */
  skullPose({ expression, jointRot, translation }) {
    return this.#forwardKinematics(this.#localRotations(expression, jointRot), translation)[NECK];
  }

  /** Translation of the root for which its transform is x -> rotation x + offset.
   * @param {number[]} rotation @param {number[]} offset */
  rootTranslation(rotation, offset) {
    return add(subtract(offset, this.joints[0]), apply(rotation, this.joints[0]));
  }

  /** Computes `vertices` [V,3] in the skull frame, meters. @param {HeadParams} params */
  poseVertices({ expression, jointRot }) {
    const local = this.#localRotations(expression, [0, 0, 0, 0, 0, 0, ...jointRot.slice(6)]);
    this.vertices.set(this.template);
    this.#addBases(this.#baseWeights(expression, local));
    this.#bend(this.#forwardKinematics(local, [0, 0, 0]));
  }

  /** Weights of the bases: expressions, their quadratic terms, pose correctives.
   * @param {number[]} expression @param {number[][]} local @returns {number[]} */
  #baseWeights(expression, local) {
    const bent = this.curveColumns.map((column) => clamp(expression[column], 0, 1));
    const turned = local.slice(1).flatMap((m) => m.map((value, k) => value - (k % 4 === 0 ? 1 : 0)));
    return [...expression, ...bent.map((w) => 4 * w * (1 - w)), ...turned];
  }

  /** @param {number[]} weights */
  #addBases(weights) {
    const { vertices, baseVertices, baseOffsets, baseCounts } = this;
    let entry = 0;
    for (let base = 0; base < baseCounts.length; base++) {
      const end = entry + baseCounts[base];
      const weight = weights[base];
      if (weight)
        for (let k = entry; k < end; k++) {
          const at = 3 * baseVertices[k];
          vertices[at] += weight * baseOffsets[3 * k];
          vertices[at + 1] += weight * baseOffsets[3 * k + 1];
          vertices[at + 2] += weight * baseOffsets[3 * k + 2];
        }
      entry = end;
    }
  }

  /** Adds sum_j weight_j ((R_j - 1) x + t_j) over jaw and eyes; root and neck are the skull frame.
   * @param {RigidPose[]} joints */
  #bend(joints) {
    const { vertices, bentVertices, bentWeights } = this;
    const turns = Float64Array.from(joints.slice(JAW).flatMap(({ rotation, translation }) => [
      ...rotation.map((value, k) => value - (k % 4 === 0 ? 1 : 0)), ...translation,
    ]));
    for (let row = 0; row < bentVertices.length; row++) {
      const at = 3 * bentVertices[row];
      const x = vertices[at], y = vertices[at + 1], z = vertices[at + 2];
      for (let joint = 0; joint < 3; joint++) {
        const weight = bentWeights[3 * row + joint];
        if (!weight) continue;
        const m = 12 * joint;
        vertices[at] += weight * (turns[m] * x + turns[m + 1] * y + turns[m + 2] * z + turns[m + 9]);
        vertices[at + 1] += weight * (turns[m + 3] * x + turns[m + 4] * y + turns[m + 5] * z + turns[m + 10]);
        vertices[at + 2] += weight * (turns[m + 6] * x + turns[m + 7] * y + turns[m + 8] * z + turns[m + 11]);
      }
    }
  }
}

/** A point given by a triangle and barycentric coordinates, in vertices [V,3].
 * @param {ArrayLike<number>} vertices @param {ArrayLike<number>} corners @param {ArrayLike<number>} bary
 * @returns {number[]} */
export function pointOn(vertices, corners, bary) {
  let sum = [0, 0, 0];
  for (let k = 0; k < 3; k++) {
    const at = 3 * corners[k];
    sum = add(sum, scaled([vertices[at], vertices[at + 1], vertices[at + 2]], bary[k]));
  }
  return sum;
}
