/** The Gaussians of the avatar: blended, bound to triangles of the mesh, stretched, and bent towards the torso. All are
 * in the skull frame, where what no expression moves keeps its place. */
import { writeMatrix } from "./linear.js";
import { PoseBlendshapes } from "./pose_blendshapes.js";
import { TorsoBend } from "./torso_bend.js";
import { TriangleFrames } from "./triangle_frames.js";
/** @import { AvatarContainer } from "../container/avatar_container.js" */
/** @import { StoredNumbers } from "../container/container.js" */
/** @import { Blendshapes } from "./blendshapes.js" */
/** @import { RigidPose } from "./head.js" */

/** Posed Gaussians in the skull frame, in the memory of `BoundGaussians`.
 * @typedef {Object} PosedGaussians
 * @property {number} count N
 * @property {Float32Array} means [N,3] meters
 * @property {Float32Array} axes [N,3,3] by rows: columns are the axes times their standard deviations, meters
 * @property {Float32Array} colors [N,3] sRGB
 * @property {Float32Array} opacities [N] 0..1
 * @property {Float32Array} reaches [N] standard deviations at which an opacity ends, at 1 / 255; 0 below that
 * @property {number} dilation added to the variances in the image, pixels^2 */

export class BoundGaussians {
  /** @param {AvatarContainer} container @param {Blendshapes} blendshapes */
  constructor(container, blendshapes) {
    this.blendshapes = blendshapes;
    this.count = container.sizes.N;
    this.offsets = container.floats("gaussians.offsets");
    this.quats = container.floats("gaussians.quats");
    this.scales = container.floats("gaussians.log_scales").map(Math.exp);
    this.baseColors = container.floats("gaussians.colors");
    /** Changes offsets and colors with the rotation of the head; null without the part. */
    this.poseBlendshapes = container.header.pose_blendshapes
      ? new PoseBlendshapes(container, this.offsets, this.baseColors) : null;
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
    this.reaches = new Float32Array(this.count);
    this.frames = new TriangleFrames(this.triangles, container.sizes.V);
    this.bend = new TorsoBend();
    this.bent = Uint32Array.from({ length: this.count }, (_, i) => i).filter((i) => this.torsoWeights[i] !== 0);
    /** Whether a Gaussian [N] has been posed anew. */
    this.isPosed = new Uint8Array(this.count);
    /** Rotations [N,3,3] of the Gaussians in the frames of their triangles. */
    this.rotations = new Float32Array(9 * this.count);
    /** Stretch [N,3] in the plane of the triangle: 00, 01, 11. */
    this.stretches = new Float32Array(3 * this.count);
    /** Standard deviations [N,3] along the axes, meters. */
    this.deviations = new Float32Array(3 * this.count);
    /** Gaussians whose triangle may stretch; the deviations of the others never change. */
    this.stretched = this.#prepareStretch(container.raw("gaussians.stretches"));
    this.#activateStatic();
  }

  /** The Gaussians whose triangle may stretch, and the deviations without stretch.
   * @param {StoredNumbers} stretches */
  #prepareStretch(stretches) {
    const { count, triangles, scales, filter } = this;
    for (let i = 0; i < count; i++) {
      this.stretches[3 * i] = this.stretches[3 * i + 2] = 1;
      for (let k = 0; k < 3; k++) this.deviations[3 * i + k] = Math.sqrt(scales[k * count + i] ** 2 + filter);
    }
    return Uint32Array.from({ length: count }, (_, i) => i).filter(
      (i) => stretches[triangles[3 * i]] || stretches[triangles[3 * i + 1]] || stretches[triangles[3 * i + 2]],
    );
  }

  /** Opacities and rotations of the Gaussians without offsets, which never change, and their colors. */
  #activateStatic() {
    const { count, quats, logits } = this;
    for (let i = 0; i < count; i++) {
      this.#setRotation(i, quats[i], quats[count + i], quats[2 * count + i], quats[3 * count + i]);
      this.#setOpacity(i, logits[i]);
    }
    this.#setStaticColors();
  }

  /** Colors of the Gaussians without offsets, which change with the rotation of the head only. */
  #setStaticColors() {
    const { count, baseColors, colors } = this;
    for (let i = this.blendshapes.count; i < count; i++)
      for (let k = 0; k < 3; k++) colors[3 * i + k] = Math.max(baseColors[k * count + i], 0);
  }

  /** @param {number} i @param {number} w @param {number} x @param {number} y @param {number} z */
  #setRotation(i, w, x, y, z) {
    const factor = 1 / Math.sqrt(w * w + x * x + y * y + z * z);
    writeMatrix(this.rotations, 9 * i, w * factor, x * factor, y * factor, z * factor);
  }

  /** @param {number} i @param {number} logit */
  #setOpacity(i, logit) {
    const opacity = 1 / (1 + Math.exp(-logit));
    this.opacities[i] = opacity;
    this.reaches[i] = Math.sqrt(Math.max(2 * Math.log(255 * opacity), 0));
  }

  /** Rotations, colors and opacities of the blended Gaussians. */
  #activate() {
    const { count, quats, baseColors, logits, colors } = this;
    const { offsets, count: m } = this.blendshapes;
    for (let i = 0; i < m; i++) {
      this.#setRotation(
        i, quats[i] + offsets[3 * m + i], quats[count + i] + offsets[4 * m + i],
        quats[2 * count + i] + offsets[5 * m + i], quats[3 * count + i] + offsets[6 * m + i],
      );
      this.#setOpacity(i, logits[i] + offsets[10 * m + i]);
      colors[3 * i] = Math.max(baseColors[i] + offsets[7 * m + i], 0);
      colors[3 * i + 1] = Math.max(baseColors[count + i] + offsets[8 * m + i], 0);
      colors[3 * i + 2] = Math.max(baseColors[2 * count + i] + offsets[9 * m + i], 0);
    }
  }

  /** Poses the Gaussians that have moved.
   * @param {Float32Array} vertices [V,3] meters, skull frame
   * @param {Float32Array} tensors [V,6] stretch of the vertices
   * @param {RigidPose} skull skull frame -> world
   * @param {RigidPose} torso
   * @param {number[]} rotation [3] axis-angle radians of the skull from the mean, see `TorsoMap.features`
   * @returns {PosedGaussians} */
  pose(vertices, tensors, skull, torso, rotation) {
    const hasTurned = this.poseBlendshapes?.blend(rotation) ?? false;
    if (hasTurned) this.#setStaticColors();
    this.#activate();
    this.frames.measure(vertices);
    this.#findMoved(this.bend.setPoses(skull, torso), hasTurned);
    this.#stretch(tensors);
    this.#place(vertices);
    this.#turn();
    const { isPosed, torsoWeights, means, axes } = this;
    for (const i of this.bent) if (isPosed[i]) this.bend.bend(torsoWeights[i], means, 3 * i, axes, 9 * i);
    return this;
  }

  /** @param {boolean} hasTorsoMoved @param {boolean} hasTurned whether the rotation of the head has moved Gaussians */
  #findMoved(hasTorsoMoved, hasTurned) {
    const { isPosed, torsoWeights, frames: { numbers, hasMoved } } = this;
    isPosed.fill(1, 0, hasTurned ? this.count : this.blendshapes.count);
    if (hasTurned) return;
    for (let i = this.blendshapes.count; i < this.count; i++)
      isPosed[i] = hasMoved[numbers[i]] | (hasTorsoMoved && torsoWeights[i] !== 0 ? 1 : 0);
  }

  /** Stretch of the triangles of Gaussians, 1 + tensor in their plane, and the deviations that it leads to.
   * @param {Float32Array} tensors */
  #stretch(tensors) {
    const { stretched, isPosed, triangles, bary, stretches, rotations, scales, deviations, count, filter } = this;
    const { rotations: local, numbers } = this.frames;
    const tensor = new Float64Array(6);
    for (const i of stretched) {
      if (!isPosed[i]) continue;
      const A = 6 * triangles[3 * i], B = 6 * triangles[3 * i + 1], C = 6 * triangles[3 * i + 2], f = 9 * numbers[i];
      const u = bary[2 * i], v = bary[2 * i + 1], w = 1 - u - v;
      for (let k = 0; k < 6; k++) tensor[k] = u * tensors[A + k] + v * tensors[B + k] + w * tensors[C + k];
      const xx = tensor[0], xy = tensor[1], xz = tensor[2], yy = tensor[3], yz = tensor[4], zz = tensor[5];
      const ex = local[f], ey = local[f + 3], ez = local[f + 6];
      const tx = local[f + 1], ty = local[f + 4], tz = local[f + 7];
      const gx = xx * tx + xy * ty + xz * tz, gy = xy * tx + yy * ty + yz * tz, gz = xz * tx + yz * ty + zz * tz;
      const s00 = 1 + ex * (xx * ex + 2 * (xy * ey + xz * ez)) + ey * (yy * ey + 2 * yz * ez) + zz * ez * ez;
      const s01 = ex * gx + ey * gy + ez * gz, s11 = 1 + tx * gx + ty * gy + tz * gz;
      stretches[3 * i] = s00;
      stretches[3 * i + 1] = s01;
      stretches[3 * i + 2] = s11;
      for (let k = 0; k < 3; k++) {
        const x = rotations[9 * i + k], y = rotations[9 * i + 3 + k], z = rotations[9 * i + 6 + k];
        const px = s00 * x + s01 * y, py = s01 * x + s11 * y, own = scales[k * count + i];
        deviations[3 * i + k] = Math.sqrt(own * own * (px * px + py * py + z * z) + filter);
      }
    }
  }

  /** Sets the means: those of the triangles, and the offsets with the stretch in their plane.
   * @param {Float32Array} vertices */
  #place(vertices) {
    const { count, isPosed, triangles, bary, offsets, means, stretches } = this;
    const { rotations: local, numbers } = this.frames;
    const blended = this.blendshapes.count, extra = this.blendshapes.offsets;
    for (let i = 0; i < count; i++) {
      if (!isPosed[i]) continue;
      let ox = offsets[i], oy = offsets[count + i], oz = offsets[2 * count + i];
      if (i < blended) {
        ox += extra[i];
        oy += extra[blended + i];
        oz += extra[2 * blended + i];
      }
      const s01 = stretches[3 * i + 1];
      const sx = stretches[3 * i] * ox + s01 * oy, sy = s01 * ox + stretches[3 * i + 2] * oy;
      const a = 3 * triangles[3 * i], b = 3 * triangles[3 * i + 1], c = 3 * triangles[3 * i + 2], f = 9 * numbers[i];
      const u = bary[2 * i], v = bary[2 * i + 1], w = 1 - u - v;
      const x = u * vertices[a] + v * vertices[b] + w * vertices[c];
      const y = u * vertices[a + 1] + v * vertices[b + 1] + w * vertices[c + 1];
      const z = u * vertices[a + 2] + v * vertices[b + 2] + w * vertices[c + 2];
      means[3 * i] = x + local[f] * sx + local[f + 1] * sy + local[f + 2] * oz;
      means[3 * i + 1] = y + local[f + 3] * sx + local[f + 4] * sy + local[f + 5] * oz;
      means[3 * i + 2] = z + local[f + 6] * sx + local[f + 7] * sy + local[f + 8] * oz;
    }
  }

  /** Sets the axes: the rotations of the Gaussians in the frames of their triangles, times the deviations. */
  #turn() {
    const { count, isPosed, rotations, deviations, axes } = this;
    const { rotations: local, numbers } = this.frames;
    for (let i = 0; i < count; i++) {
      if (!isPosed[i]) continue;
      const f = 9 * numbers[i];
      const f0 = local[f], f1 = local[f + 1], f2 = local[f + 2], f3 = local[f + 3], f4 = local[f + 4];
      const f5 = local[f + 5], f6 = local[f + 6], f7 = local[f + 7], f8 = local[f + 8];
      for (let k = 9 * i, axis = 3 * i; axis < 3 * i + 3; k++, axis++) {
        const deviation = deviations[axis];
        const x = rotations[k] * deviation, y = rotations[k + 3] * deviation, z = rotations[k + 6] * deviation;
        axes[k] = f0 * x + f1 * y + f2 * z;
        axes[k + 3] = f3 * x + f4 * y + f5 * z;
        axes[k + 6] = f6 * x + f7 * y + f8 * z;
      }
    }
  }
}
