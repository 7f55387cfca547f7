/** What the adapter for Spark uses of two packages that are not installed for the checks. */

declare module "three" {
  class Numbers {
    fromArray(values: ArrayLike<number>, start?: number): this;
  }
  export class Vector3 extends Numbers {}
  export class Quaternion extends Numbers {}
  export class Color extends Numbers {}
}

declare module "@sparkjsdev/spark" {
  import type { Color, Quaternion, Vector3 } from "three";

  export class ExtSplats {
    constructor(options?: { extArrays: [Uint32Array, Uint32Array]; numSplats: number });
    numSplats: number;
    textures: { needsUpdate: boolean }[];
    setSplat(
      index: number,
      center: Vector3,
      scales: Vector3,
      quaternion: Quaternion,
      opacity: number,
      color: Color,
    ): void;
    dispose(): void;
  }
  export const utils: { getTextureSize(count: number): { maxSplats: number } };
  export class SplatMesh {
    constructor(options: { extSplats: ExtSplats });
    extSplats?: ExtSplats;
    splats?: ExtSplats;
    updateVersion(): void;
  }
}
