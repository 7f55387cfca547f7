/** The camera of the page: orbits the head, zooms, frames head and shoulders like `front_camera` of the engine. */
import { numbersOf } from "../container/container.js";
import { apply, clamp, cross, multiply, normalized, rotationOf, scaled, subtract } from "../avatar/linear.js";
/** @import { Camera } from "../avatar/projection.js" */
/** @import { AvatarHeader } from "../container/avatar_container.js" */

const UP = [0, 1, 0];
const MAX_PITCH = 1.2; // radians
const MIN_ZOOM = 0.4;
const MAX_ZOOM = 6;

export class Orbit {
  /** @param {AvatarHeader} header of the container */
  constructor(header) {
    const number = (/** @type {string} */ key) => numbersOf(header, `view.${key}`, [])[0];
    this.center = [...numbersOf(header, "view.center", [3])];
    this.forward = [...numbersOf(header, "view.forward", [3])];
    this.distance = number("distance");
    this.frame = { left: number("left"), right: number("right"), top: number("top"), bottom: number("bottom") };
    /** Whether the image is shown as in a mirror. */
    this.isMirrored = false;
    this.yaw = this.pitch = 0; // radians
    this.zoom = 1;
  }

  /** Back to the front of the face. */
  reset() {
    this.yaw = this.pitch = 0;
    this.zoom = 1;
  }

  /** Turns the camera around the head, radians to the right of the shown image and up.
   * @param {number} right @param {number} up */
  turn(right, up) {
    this.yaw += this.isMirrored ? -right : right;
    this.pitch = clamp(this.pitch + up, -MAX_PITCH, MAX_PITCH);
  }

  /** Comes closer by a factor. @param {number} factor */
  zoomBy(factor) {
    this.zoom = clamp(this.zoom * factor, MIN_ZOOM, MAX_ZOOM);
  }

  /** @param {number} width pixels @param {number} height @returns {Camera} */
  camera(width, height) {
    const { left, right, top, bottom } = this.frame;
    const focal = this.zoom * Math.min(height / (bottom - top), width / (right - left));
    const centered = clamp(this.zoom - 1, 0, 1); // closer than the frame: the head is in the middle
    const anchored = [width / 2 - (focal * (left + right)) / 2, height - focal * bottom];
    const rotation = this.#rotation();
    const eye = subtract(this.center, scaled(rotation.slice(6), this.distance));
    return {
      fx: focal,
      fy: focal,
      cx: anchored[0] + centered * (width / 2 - anchored[0]),
      cy: anchored[1] + centered * (height / 2 - anchored[1]),
      rotation,
      translation: scaled(apply(rotation, eye), -1),
      width,
      height,
    };
  }

  /** World -> camera: looks at the center of the head, the world's y axis up. */
  #rotation() {
    const side = normalized(cross(UP, this.forward));
    const lifted = rotationOf(scaled(side, -this.pitch));
    const away = apply(multiply(rotationOf([0, this.yaw, 0]), lifted), this.forward);
    const view = scaled(away, -1);
    const across = normalized(cross(view, UP));
    return [...across, ...cross(view, across), ...view];
  }
}
