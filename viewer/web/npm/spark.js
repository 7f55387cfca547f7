/** An avatar as splats of Spark in a scene of three.js: they are sorted with all other splats of the scene, and hidden by
 * its meshes. Needs the packages three and @sparkjsdev/spark. */
import { ExtSplats, SplatMesh, utils } from "@sparkjsdev/spark";
import { Color, Quaternion, Vector3 } from "three";

const SIZE = 14; // numbers of a Gaussian, see `FrameDetail.gaussians`

/** Options of `SparkRenderer` with which avatars look as in headsplat: pixels^2 that are added to projected splats, and
 * the order of splats. */
export const SPARK_OPTIONS = { preBlurAmount: 0.05, blurAmount: 0, sortRadial: false };

/** The object of the scene; its coordinates are those of the avatar (meters, y up). */
export class AvatarSplats extends SplatMesh {
  /** @param {import("./headsplat.js").HeadsplatAvatar} avatar whose `asGaussians` was set before it was loaded */
  constructor(avatar) {
    if (!avatar.asGaussians) throw new TypeError("set asGaussians of the avatar before it is loaded");
    super({ extSplats: new ExtSplats() });
    avatar.addEventListener("frame", ({ detail }) => detail.gaussians && this.#take(detail.gaussians));
    avatar.changed();
  }

  /** @param {Float32Array} gaussians [M,14] */
  #take(gaussians) {
    const splats = this.#splatsFor(gaussians.length / SIZE);
    const center = new Vector3(), deviations = new Vector3(), rotation = new Quaternion(), color = new Color();
    for (let i = 0, at = 0; at < gaussians.length; i++, at += SIZE) {
      center.fromArray(gaussians, at);
      rotation.fromArray(gaussians, at + 3);
      deviations.fromArray(gaussians, at + 7);
      color.fromArray(gaussians, at + 10);
      splats.setSplat(i, center, deviations, rotation, gaussians[at + 13], color);
    }
    for (const texture of splats.textures) texture.needsUpdate = true;
    this.updateVersion();
  }

  /** Memory of `count` splats. @param {number} count */
  #splatsFor(count) {
    if (this.extSplats?.numSplats !== count) {
      const length = 4 * utils.getTextureSize(count).maxSplats;
      this.extSplats?.dispose();
      this.extSplats = new ExtSplats({ extArrays: [new Uint32Array(length), new Uint32Array(length)], numSplats: count });
      this.splats = this.extSplats;
    }
    return this.extSplats;
  }
}
