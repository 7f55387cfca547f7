import type { SplatMesh } from "@sparkjsdev/spark";
import type { HeadsplatAvatar } from "./headsplat.js";

/** Options of `SparkRenderer` with which avatars look as in headsplat. */
export const SPARK_OPTIONS: { preBlurAmount: number; blurAmount: number; sortRadial: boolean };

/** An avatar as splats of Spark, in its own coordinates (meters, y up); set `asGaussians` before it is loaded. */
export class AvatarSplats extends SplatMesh {
  constructor(avatar: HeadsplatAvatar);
}
