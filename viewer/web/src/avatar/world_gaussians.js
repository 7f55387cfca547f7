/** The posed avatar as Gaussians in its own space, for splat renderers of scenes: those of the avatar, then a flat one for
 * each face of the mesh layer, as in the files of `headsplat export`. */
import { apply, cross, multiply, quatOf } from "./linear.js";
/** @import { AvatarContainer } from "../container/avatar_container.js" */
/** @import { RigidPose } from "./head.js" */
/** @import { PosedAvatar } from "./posed_avatar.js" */

/** Numbers of a Gaussian: center (3, meters), quaternion (4, xyzw), standard deviations (3, meters), sRGB (3), opacity. */
export const GAUSSIAN_SIZE = 14;
/** As in avatar/export/layer_gaussians.py: opacity of a face, and its deviations: along it relative to the square root of
 * its area, along its normal in meters. */
const OPACITY = 0.98, SPREAD = 0.6, THICKNESS = 1e-4;
const TEXELS = 15; // of a face

export class WorldGaussians {
  /** @param {AvatarContainer} container */
  constructor(container) {
    const hasLayer = Boolean(container.header.layer);
    this.count = container.sizes.N;
    this.faces = hasLayer ? container.raw("layer.faces") : new Uint16Array(0);
    /** Mean colors [T,3] of the faces, without shade. */
    this.colors = hasLayer ? meanColors(container.raw("layer.texel_ids"), container.floats("layer.texels")) : [];
    this.size = GAUSSIAN_SIZE * (this.count + this.faces.length / 3);
  }

  /** Writes the Gaussians of a posed avatar [N + T,14]. @param {PosedAvatar} avatar @param {Float32Array} [out] memory */
  write({ gaussians, layer, skull }, out = new Float32Array(this.size)) {
    if (!skull) throw new Error("it has no pose");
    const { means, axes, colors, opacities } = gaussians;
    for (let i = 0, at = 0; i < this.count; i++, at += GAUSSIAN_SIZE) {
      const columns = [0, 1, 2].map((k) => [axes[9 * i + k], axes[9 * i + 3 + k], axes[9 * i + 6 + k]]);
      put(out, at, skull, means.subarray(3 * i, 3 * i + 3), columns);
      out.set(colors.subarray(3 * i, 3 * i + 3), at + 10);
      out[at + 13] = opacities[i];
    }
    if (layer) this.#writeFaces(layer, skull, out);
    return out;
  }

  /** @param {{vertices: Float32Array, shade: Float32Array}} layer @param {RigidPose} skull @param {Float32Array} out */
  #writeFaces({ vertices, shade }, skull, out) {
    const { faces, colors } = this;
    for (let face = 0, at = GAUSSIAN_SIZE * this.count; 3 * face < faces.length; face++, at += GAUSSIAN_SIZE) {
      const [a, b, c] = [0, 1, 2].map((k) => 3 * faces[3 * face + k]);
      const corner = (/** @type {number} */ k) => vertices[a + k] + vertices[b + k] + vertices[c + k];
      const edge = [0, 1, 2].map((k) => vertices[b + k] - vertices[a + k]);
      const other = [0, 1, 2].map((k) => vertices[c + k] - vertices[a + k]);
      const normal = cross(edge, other), length = Math.hypot(...edge), twice = Math.hypot(...normal);
      const spread = SPREAD * Math.sqrt(0.5 * twice);
      const along = edge.map((value) => (value / (length || 1)) * spread);
      const up = normal.map((value) => (value / (twice || 1)) * THICKNESS);
      const across = cross(up, along).map((value) => value / THICKNESS);
      put(out, at, skull, [corner(0) / 3, corner(1) / 3, corner(2) / 3], [along, across, up]);
      const light = (shade[a / 3] + shade[b / 3] + shade[c / 3]) / 3;
      for (let k = 0; k < 3; k++) out[at + 10 + k] = colors[3 * face + k] * light;
      out[at + 13] = twice > 0 ? OPACITY : 0;
    }
  }
}

/** Writes center, rotation and deviations of a Gaussian of the skull frame in the avatar's space.
 * @param {Float32Array} out @param {number} at @param {RigidPose} skull @param {ArrayLike<number> & Iterable<number>} mean
 * @param {number[][]} axes 3 axes times their deviations */
function put(out, at, { rotation, translation }, mean, axes) {
  const [x, y, z] = apply(rotation, mean);
  const lengths = axes.map((axis) => Math.hypot(...axis));
  const [p, q, r] = axes.map((axis, k) => axis.map((value) => value / (lengths[k] || 1)));
  const [w, i, j, k] = quatOf(multiply(rotation, [p[0], q[0], r[0], p[1], q[1], r[1], p[2], q[2], r[2]]));
  out[at] = x + translation[0];
  out[at + 1] = y + translation[1];
  out[at + 2] = z + translation[2];
  out[at + 3] = i;
  out[at + 4] = j;
  out[at + 5] = k;
  out[at + 6] = w;
  for (let axis = 0; axis < 3; axis++) out[at + 7 + axis] = lengths[axis];
}

/** Mean colors [T,3] of texels [T,15] of [X,3]. @param {ArrayLike<number>} ids @param {Float32Array} texels */
function meanColors(ids, texels) {
  const out = new Float32Array((3 * ids.length) / TEXELS);
  for (let k = 0; k < ids.length; k++)
    for (let channel = 0; channel < 3; channel++)
      out[3 * Math.floor(k / TEXELS) + channel] += texels[3 * ids[k] + channel] / TEXELS;
  return out;
}
