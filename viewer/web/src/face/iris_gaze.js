/** Gaze: the iris landmarks intersected with the eyeballs of the head model. */
import { apply, clamp, transposed } from "../avatar/linear.js";
/** @import { FaceState, FrameProblem } from "./linearization.js" */

/** Largest rotation of an eye, radians. */
const LIMIT = 0.6;

/** Yaw (to the subject's left) and pitch (up) of the gaze against straight ahead, mean of the eyes that are seen.
 *
 * The ray through each iris center intersects the eyeball; where it misses, its point nearest to the eye's center is
 * used.
 * @param {FrameProblem} problem
 * @param {FaceState} state
 * @param {Float32Array} points [478,3] pixels
 * @returns {number[] | null} [2] radians; null where no iris is seen */
export function gazeOf({ model, shape, camera }, { rotation, translation }, points) {
  const [, , ...eyes] = shape.anchors;
  const sum = [0, 0];
  let count = 0;
  model.groups.irises.forEach((landmark, eye) => {
    if (!Number.isFinite(points[3 * landmark] + points[3 * landmark + 1])) return;
    count += 1;
    const rest = eyes[eye + 2].map((value, axis) => value - eyes[eye][axis]);
    const center = apply(rotation, eyes[eye]).map((value, axis) => value + translation[axis]);
    const ray = [points[3 * landmark] - camera.cx, camera.cy - points[3 * landmark + 1], -camera.focal];
    const length = Math.hypot(...ray);
    const along = (ray[0] * center[0] + ray[1] * center[1] + ray[2] * center[2]) / length;
    const inside = Math.max(along ** 2 - Math.hypot(...center) ** 2 + Math.hypot(...rest) ** 2, 0);
    const reach = (along - Math.sqrt(inside)) / length;
    const direction = apply(transposed(rotation), ray.map((value, axis) => value * reach - center[axis]));
    const seen = anglesOf(direction), ahead = anglesOf(rest);
    for (let angle = 0; angle < 2; angle++) sum[angle] += seen[angle] - ahead[angle];
  });
  return count ? sum.map((value) => clamp(value / count, -LIMIT, LIMIT)) : null;
}

/** Axis-angle vector that rotates +z to yaw and pitch, without torsion (Listing's law).
 * @param {number[]} gaze @returns {number[]} */
export function eyeRotation([yaw, pitch]) {
  const right = Math.sin(yaw) * Math.cos(pitch), up = Math.sin(pitch);
  const sine = Math.hypot(right, up);
  const factor = sine < 1e-9 ? 1 : Math.atan2(sine, Math.cos(yaw) * Math.cos(pitch)) / sine;
  return [-up * factor, right * factor, 0];
}

/** @param {Iterable<number>} direction @returns {number[]} */
function anglesOf([x, y, z]) {
  return [Math.atan2(x, z), Math.asin(y / Math.hypot(x, y, z))];
}
