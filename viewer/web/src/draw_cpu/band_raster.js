/** Draws a band of rows of a frame on the processor: the mesh layer, and the Gaussians over it. */
import { LayerRaster } from "./layer_raster.js";
import { grown } from "./memory.js";
import { SplatRaster } from "./splat_raster.js";
/** @import { LayerArrays, LayerView } from "../avatar/mesh_layer.js" */
/** @import { Camera } from "../avatar/projection.js" */

/** What a worker needs to draw a band.
 * @typedef {Object} BandJob
 * @property {Camera} camera
 * @property {number} first row, from the lower edge of the image @property {number} rows
 * @property {Float32Array} splats those that touch the band, the nearest last @property {number} count of them
 * @property {LayerView | null} view of the layer
 * @property {Float32Array | null} vertices [V,4] of the layer
 * @property {Uint8Array} bytes memory for the pixels */

/** Rows of an image.
 * @typedef {{first: number, rows: number, bytes: Uint8Array}} Band
 * `bytes` starts with the pixels [rows,W,4], premultiplied, the lowest row first */

export class BandRaster {
  /** @param {LayerArrays | null} layer static arrays of the layer */
  constructor(layer) {
    this.layer = layer ? new LayerRaster(layer) : null;
    this.splats = new SplatRaster();
  }

  /** @param {BandJob} job @returns {Band} */
  draw({ camera, first, rows, splats, count, view, vertices, bytes }) {
    const out = grown(bytes, 4 * camera.width * rows);
    const layer = this.layer && view && vertices ? this.layer.draw(view, camera, vertices, first, rows) : null;
    this.splats.draw(splats, count, camera, first, rows, layer, out);
    return { first, rows, bytes: out };
  }
}
