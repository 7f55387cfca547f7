/** The torso: a rigid bone whose pose is a linear map of the pose of the skull. */
import { add, apply, axisAngleOf, clamp, multiply, rotationOf, scaled, subtract, transposed } from "./linear.js";
/** @import { AvatarContainer } from "../container/avatar_container.js" */
/** @import { RigidPose } from "./head.js" */

const TRAVEL_UNIT = 0.1; // meters

export class TorsoMap {
  /** @param {AvatarContainer} container */
  constructor(container) {
    this.meanRotation = [...container.numbers("torso.mean_rotation", [3, 3])];
    this.meanTranslation = [...container.numbers("torso.mean_translation", [3])];
    this.pivot = [...container.numbers("torso.pivot", [3])];
    this.weight = container.numbers("torso.weight", [6, 7]);
    this.limit = container.numbers("torso.limit", [7]);
  }

  /** Pose of the torso, skull frame -> world.
   * @param {number[]} features of the pose of the skull
   * @param {number[]} [motion] [6] of the torso from its rest where it is measured
   * @returns {RigidPose} */
  pose(features, motion = this.#motion(features)) {
    const turn = rotationOf([motion[0], motion[1], motion[2]]);
    const pivot = add(apply(this.meanRotation, this.pivot), this.meanTranslation);
    const moved = add(pivot, scaled(motion.slice(3), TRAVEL_UNIT));
    return {
      rotation: multiply(turn, this.meanRotation),
      translation: add(apply(turn, subtract(this.meanTranslation, pivot)), moved),
    };
  }

  /** Features [7] of a pose of the skull within those of the training: 1, rotation from the mean (radians), translation
   * from it (decimeters). @param {RigidPose} skull @returns {number[]} */
  features({ rotation, translation }) {
    const turn = axisAngleOf(multiply(rotation, transposed(this.meanRotation)));
    const travel = scaled(subtract(translation, this.meanTranslation), 1 / TRAVEL_UNIT);
    return [1, ...turn, ...travel].map((value, k) => clamp(value, -this.limit[k], this.limit[k]));
  }

  /** @param {number[]} features @returns {number[]} */
  #motion(features) {
    return [0, 1, 2, 3, 4, 5].map((row) =>
      features.reduce((sum, value, k) => sum + this.weight[7 * row + k] * value, 0),
    );
  }
}
