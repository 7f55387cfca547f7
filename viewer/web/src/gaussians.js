/** The Gaussians of the avatar: blended, bound to triangles of the mesh, stretched and skinned to skull and torso. */
import { quatOf, writeMatrix } from "./linear.js";

/** Gaussians in the world, in the memory of `BoundGaussians`.
 * @typedef {Object} WorldGaussians
 * @property {number} count N
 * @property {Float32Array} means [N,3] meters
 * @property {Float32Array} axes [N,3,3] by rows: columns are the axes times their standard deviations, meters
 * @property {Float32Array} colors [N,3] sRGB
 * @property {Float32Array} opacities [N] 0..1 */

export class BoundGaussians {
  /** @param {import("./container.js").Container} container @param {import("./blendshapes.js").Blendshapes} blendshapes */
  constructor(container, blendshapes) {
    this.blendshapes = blendshapes;
    this.count = container.sizes.N;
    this.offsets = container.floats("gaussians.offsets");
    this.quats = container.floats("gaussians.quats");
    this.scales = container.floats("gaussians.log_scales").map(Math.exp);
    this.baseColors = container.floats("gaussians.colors");
    this.logits = container.floats("gaussians.logit_opacities");
    this.triangles = container.raw("gaussians.triangles");
    this.bary = container.floats("gaussians.bary").map((value) => value / 65535);
    this.torsoWeights = container.floats("gaussians.torso_weights").map((value) => value / 65535);
    this.filter = container.numbers("gaussians.filter_scale", [])[0] ** 2;
    this.dilation = container.numbers("gaussians.dilation", [])[0];
    this.means = new Float32Array(3 * this.count);
    this.axes = new Float32Array(9 * this.count);
    this.colors = new Float32Array(3 * this.count);
    this.opacities = new Float32Array(this.count);
    this.#activateStatic();
  }

  /** Colors, opacities and rotations of the Gaussians without offsets, which never change. */
  #activateStatic() {
    const { count, quats, baseColors, logits } = this;
    this.rotations = new Float32Array(9 * count);
    for (let i = 0; i < count; i++) {
      this.#setRotation(i, quats[i], quats[count + i], quats[2 * count + i], quats[3 * count + i]);
      this.opacities[i] = 1 / (1 + Math.exp(-logits[i]));
      for (let k = 0; k < 3; k++) this.colors[3 * i + k] = Math.max(baseColors[k * count + i], 0);
    }
  }

  #setRotation(i, w, x, y, z) {
    const factor = 1 / Math.sqrt(w * w + x * x + y * y + z * z);
    writeMatrix(this.rotations, 9 * i, w * factor, x * factor, y * factor, z * factor);
  }

  /** Rotations, colors and opacities of the blended Gaussians. */
  #activate() {
    const { count, quats, baseColors, logits, colors, opacities } = this;
    const { offsets, count: m } = this.blendshapes;
    for (let i = 0; i < m; i++) {
      this.#setRotation(
        i, quats[i] + offsets[3 * m + i], quats[count + i] + offsets[4 * m + i],
        quats[2 * count + i] + offsets[5 * m + i], quats[3 * count + i] + offsets[6 * m + i],
      );
      opacities[i] = 1 / (1 + Math.exp(-logits[i] - offsets[10 * m + i]));
      for (let k = 0; k < 3; k++)
        colors[3 * i + k] = Math.max(baseColors[k * count + i] + offsets[(7 + k) * m + i], 0);
    }
  }

  /** Poses all Gaussians.
   * @param {Float32Array} vertices [V,3] meters, skull frame
   * @param {Float32Array} tensors [V,6] stretch of the vertices
   * @param {import("./head.js").RigidPose} skull skull frame -> world
   * @param {import("./head.js").RigidPose} torso
   * @returns {WorldGaussians} */
  bind(vertices, tensors, skull, torso) {
    this.#activate();
    const bones = new BonePoses(skull, torso);
    for (let i = 0; i < this.count; i++) this.#bindOne(i, vertices, tensors, bones);
    return this;
  }

  #bindOne(i, vertices, tensors, bones) {
    const { count, triangles, bary, offsets, scales, rotations, axes, means, filter } = this;
    const blended = this.blendshapes.count, extra = this.blendshapes.offsets;
    const a = triangles[3 * i], b = triangles[3 * i + 1], c = triangles[3 * i + 2];
    const ax = vertices[3 * a], ay = vertices[3 * a + 1], az = vertices[3 * a + 2];
    const bx = vertices[3 * b], by = vertices[3 * b + 1], bz = vertices[3 * b + 2];
    const cx = vertices[3 * c], cy = vertices[3 * c + 1], cz = vertices[3 * c + 2];
    // The frame of the triangle: edge e, tangent t = n x e, normal n.
    let ex = bx - ax, ey = by - ay, ez = bz - az;
    let nx = ey * (cz - az) - ez * (cy - ay), ny = ez * (cx - ax) - ex * (cz - az);
    let nz = ex * (cy - ay) - ey * (cx - ax);
    let length = 1 / Math.max(Math.sqrt(ex * ex + ey * ey + ez * ez), 1e-12);
    ex *= length; ey *= length; ez *= length;
    length = 1 / Math.max(Math.sqrt(nx * nx + ny * ny + nz * nz), 1e-12);
    nx *= length; ny *= length; nz *= length;
    const tx = ny * ez - nz * ey, ty = nz * ex - nx * ez, tz = nx * ey - ny * ex;
    const u = bary[2 * i], v = bary[2 * i + 1], w = 1 - u - v;
    // S = 1 + tensor in the plane of the triangle.
    const A = 6 * a, B = 6 * b, C = 6 * c;
    const xx = u * tensors[A] + v * tensors[B] + w * tensors[C];
    const xy = u * tensors[A + 1] + v * tensors[B + 1] + w * tensors[C + 1];
    const xz = u * tensors[A + 2] + v * tensors[B + 2] + w * tensors[C + 2];
    const yy = u * tensors[A + 3] + v * tensors[B + 3] + w * tensors[C + 3];
    const yz = u * tensors[A + 4] + v * tensors[B + 4] + w * tensors[C + 4];
    const zz = u * tensors[A + 5] + v * tensors[B + 5] + w * tensors[C + 5];
    const fx = xx * ex + xy * ey + xz * ez, fy = xy * ex + yy * ey + yz * ez, fz = xz * ex + yz * ey + zz * ez;
    const gx = xx * tx + xy * ty + xz * tz, gy = xy * tx + yy * ty + yz * tz, gz = xz * tx + yz * ty + zz * tz;
    const s00 = 1 + ex * fx + ey * fy + ez * fz;
    const s01 = ex * gx + ey * gy + ez * gz;
    const s11 = 1 + tx * gx + ty * gy + tz * gz;
    let ox = offsets[i], oy = offsets[count + i], oz = offsets[2 * count + i];
    if (i < blended) {
      ox += extra[i];
      oy += extra[blended + i];
      oz += extra[2 * blended + i];
    }
    const sx = s00 * ox + s01 * oy, sy = s01 * ox + s11 * oy;
    const lx = u * ax + v * bx + w * cx + ex * sx + tx * sy + nx * oz;
    const ly = u * ay + v * by + w * cy + ey * sx + ty * sy + ny * oz;
    const lz = u * az + v * bz + w * cz + ez * sx + tz * sy + nz * oz;
    const bone = bones.at(this.torsoWeights[i]);
    means[3 * i] = bone[9] + bone[12] * lx + bone[13] * ly + bone[14] * lz;
    means[3 * i + 1] = bone[10] + bone[15] * lx + bone[16] * ly + bone[17] * lz;
    means[3 * i + 2] = bone[11] + bone[18] * lx + bone[19] * ly + bone[20] * lz;
    // Rotation of the bone times the frame.
    const r00 = bone[0] * ex + bone[1] * ey + bone[2] * ez, r01 = bone[0] * tx + bone[1] * ty + bone[2] * tz;
    const r02 = bone[0] * nx + bone[1] * ny + bone[2] * nz;
    const r10 = bone[3] * ex + bone[4] * ey + bone[5] * ez, r11 = bone[3] * tx + bone[4] * ty + bone[5] * tz;
    const r12 = bone[3] * nx + bone[4] * ny + bone[5] * nz;
    const r20 = bone[6] * ex + bone[7] * ey + bone[8] * ez, r21 = bone[6] * tx + bone[7] * ty + bone[8] * tz;
    const r22 = bone[6] * nx + bone[7] * ny + bone[8] * nz;
    for (let k = 0; k < 3; k++) {
      const qx = rotations[9 * i + k], qy = rotations[9 * i + 3 + k], qz = rotations[9 * i + 6 + k];
      const px = s00 * qx + s01 * qy, py = s01 * qx + s11 * qy;
      const own = scales[k * count + i];
      const scale = Math.sqrt(own * own * (px * px + py * py + qz * qz) + filter);
      axes[9 * i + k] = scale * (r00 * qx + r01 * qy + r02 * qz);
      axes[9 * i + 3 + k] = scale * (r10 * qx + r11 * qy + r12 * qz);
      axes[9 * i + 6 + k] = scale * (r20 * qx + r21 * qy + r22 * qz);
    }
  }
}

/** Poses between the two bones: positions by linear blend skinning, rotations by interpolated quaternions. */
class BonePoses {
  /** @param {import("./head.js").RigidPose} skull @param {import("./head.js").RigidPose} torso */
  constructor(skull, torso) {
    this.skull = skull;
    this.torso = torso;
    this.skullQuat = quatOf(skull.rotation);
    const quat = quatOf(torso.rotation);
    const dot = quat.reduce((sum, value, k) => sum + value * this.skullQuat[k], 0);
    this.torsoQuat = dot < 0 ? quat.map((value) => -value) : quat;
    this.ends = [this.#computed(0, new Float64Array(21)), this.#computed(1, new Float64Array(21))];
    this.between = new Float64Array(21);
  }

  /** Rotation of a Gaussian (9), translation (3) and the matrix of its position (9) for a weight of the torso. */
  at(weight) {
    return weight === 0 || weight === 1 ? this.ends[weight] : this.#computed(weight, this.between);
  }

  #computed(weight, out) {
    const [w, x, y, z] = [0, 1, 2, 3].map((k) => (1 - weight) * this.skullQuat[k] + weight * this.torsoQuat[k]);
    const factor = 1 / Math.sqrt(w * w + x * x + y * y + z * z);
    writeMatrix(out, 0, w * factor, x * factor, y * factor, z * factor);
    for (let k = 0; k < 3; k++)
      out[9 + k] = (1 - weight) * this.skull.translation[k] + weight * this.torso.translation[k];
    for (let k = 0; k < 9; k++)
      out[12 + k] = (1 - weight) * this.skull.rotation[k] + weight * this.torso.rotation[k];
    return out;
  }
}
