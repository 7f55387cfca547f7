/** Draws frames on the processor: this worker and its helpers draw a band of rows each, at the same time. */
import { BandRaster } from "./band_raster.js";
import { bandBorders } from "./bands.js";
import { grown } from "./memory.js";
import { SPLAT_SIZE } from "../avatar/projection.js";
import { messageOf } from "../container/error_message.js";
/** @import { LayerArrays, LayerView } from "../avatar/mesh_layer.js" */
/** @import { Camera, Projection } from "../avatar/projection.js" */
/** @import { Band, BandJob } from "./band_raster.js" */

const NO_BYTES = new Uint8Array(0);

export class RasterTeam {
  /** @param {LayerArrays | null} layer static arrays of the layer @param {MessagePort[]} ports to the helpers */
  constructor(layer, ports) {
    this.raster = new BandRaster(layer);
    this.splats = new Float32Array(0);
    this.helpers = ports.map((port) => new Helper(port));
    /** Those that draw the present frame. @type {Helper[]} */
    this.working = [];
  }

  /** Divides a projected frame into bands, one for each worker.
   * @param {Projection} projection @param {Camera} camera
   * @param {LayerView | null} view @param {Float32Array | null} vertices [V,4]
   * @param {Uint8Array[]} spare memory of the bands of an earlier frame
   * @returns {BandJob[]} */
  divide(projection, camera, view, vertices, spare) {
    // A helper that has not started yet is not waited for.
    this.working = this.helpers.filter(({ isReady }) => isReady);
    const workers = [this, ...this.working];
    const borders = bandBorders(projection, camera, view, workers.length);
    return workers.map((worker, k) => {
      const first = borders[k], rows = borders[k + 1] - first;
      const splats = grown(worker.splats, SPLAT_SIZE * projection.capacity);
      worker.splats = splats;
      const count = projection.writeRows(splats, camera.height, first, rows);
      return { camera, first, rows, splats, count, view, vertices, bytes: spare[k] ?? NO_BYTES };
    });
  }

  /** Draws the bands of `divide` at the same time.
   * @param {BandJob[]} jobs @returns {Promise<Band[]>} */
  async draw([job, ...others]) {
    const parts = others.map((other, k) => this.working[k].draw(other));
    const own = this.raster.draw(job);
    return [own, ...(await Promise.all(parts))];
  }
}

/** @typedef {{type: "ready"} | {type: "band", band: Band, splats: Float32Array}
 *   | {type: "failed", message: string}} HelperMessage */

/** Another worker, seen from this one. */
class Helper {
  /** @param {MessagePort} port */
  constructor(port) {
    this.port = port;
    this.isReady = false;
    /** @type {Float32Array} */
    this.splats = new Float32Array(0);
    /** Of the band that it draws. @type {(band: Band) => void} */
    this.resolve = () => {};
    /** @type {(error: Error) => void} */
    this.reject = () => {};
    port.onmessage = ({ data }) => this.#receive(data);
  }

  /** @param {BandJob} job @returns {Promise<Band>} */
  draw(job) {
    return new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
      this.port.postMessage(job, [job.splats.buffer, ...(job.bytes.length ? [job.bytes.buffer] : [])]);
    });
  }

  /** @param {HelperMessage} message */
  #receive(message) {
    if (message.type === "ready") this.isReady = true;
    else if (message.type === "failed") this.reject(new Error(message.message));
    else {
      this.splats = message.splats;
      this.resolve(message.band);
    }
  }
}

/** Draws the bands that another worker sends. @param {MessagePort} port @param {LayerArrays | null} layer */
export function helpToDraw(port, layer) {
  const raster = new BandRaster(layer);
  port.onmessage = ({ data: job }) => {
    try {
      const band = raster.draw(job);
      port.postMessage({ type: "band", band, splats: job.splats }, [band.bytes.buffer, job.splats.buffer]);
    } catch (error) {
      port.postMessage({ type: "failed", message: messageOf(error) });
    }
  };
  port.postMessage({ type: "ready" });
}
