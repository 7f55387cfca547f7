/** The pose while no face is seen: held, then at rest, and back to the face; as avatar/driving/live/presence.py. */
import { axisAngleOf, clamp, rotationBetween, rotationOf } from "../avatar/linear.js";
import { drivingOptions } from "../container/driving_options.js";
/** @import { HeadParams } from "../avatar/head.js" */
/** @import { AvatarHeader } from "../container/avatar_container.js" */

export class Presence {
  /** @param {HeadParams} rest parameters of the avatar at rest @param {AvatarHeader} header of the container */
  constructor(rest, header) {
    const { hold, to_neutral: toRest, to_driver: toFace } = drivingOptions(header).presence;
    /** Seconds that a pose is held after the face is lost, and of blending to rest and back. */
    this.hold = hold;
    this.toRest = toRest;
    this.toFace = toFace;
    this.rest = rest;
    this.last = this.from = rest;
    /** Null while a face is seen. @type {number | null} */
    this.lostAt = -Infinity;
    this.foundAt = -Infinity;
  }

  /** Whether no face is seen. */
  get isLost() {
    return this.lostAt !== null;
  }

  /** Sets the pose of a face that is seen at `time` seconds. @param {HeadParams} params @param {number} time */
  update(params, time) {
    if (this.isLost) {
      this.from = this.paramsAt(time);
      this.foundAt = time;
      this.lostAt = null;
    }
    this.last = params;
  }

  /** Notes that no face is seen at `time` seconds. */
  markLost(/** @type {number} */ time) {
    if (this.isLost) return;
    this.last = this.paramsAt(time);
    this.lostAt = time;
  }

  /** Whether the pose still moves at `time` seconds without a new sample. */
  isMovingAt(/** @type {number} */ time) {
    return this.lostAt !== null ? time < this.lostAt + this.hold + this.toRest : time < this.foundAt + this.toFace;
  }

  /** The parameters at `time` seconds. @returns {HeadParams} */
  paramsAt(/** @type {number} */ time) {
    if (this.lostAt === null) return interpolatedParams(this.from, this.last, smoothstep((time - this.foundAt) / this.toFace));
    return interpolatedParams(this.last, this.rest, smoothstep((time - this.lostAt - this.hold) / this.toRest));
  }
}

/** Hermite interpolation of a fraction, which is limited to 0..1, with no slope at its ends. */
export function smoothstep(/** @type {number} */ fraction) {
  const part = clamp(fraction, 0, 1);
  return part * part * (3 - 2 * part);
}

/** Parameters between two: rotations along the shortest arc. @param {HeadParams} first @param {HeadParams} second
 * @param {number} part 0..1 @returns {HeadParams} */
export function interpolatedParams(first, second, part) {
  if (part <= 0) return first;
  if (part >= 1) return second;
  const mix = (/** @type {number[]} */ a, /** @type {number[]} */ b) => a.map((value, k) => (1 - part) * value + part * b[k]);
  const jointRot = [0, 3, 6, 9, 12].flatMap((at) => {
    const [a, b] = [first, second].map((params) => rotationOf(params.jointRot.slice(at, at + 3)));
    return axisAngleOf(rotationBetween(a, b, part));
  });
  return {
    expression: mix(first.expression, second.expression),
    jointRot,
    translation: mix(first.translation, second.translation),
  };
}
