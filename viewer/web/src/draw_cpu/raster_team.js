/** Draws frames on the processor: this worker and its helpers draw a band of rows each, at the same time. */
import { BandRaster } from "./band_raster.js";
import { bandBorders } from "./bands.js";
import { grown } from "./memory.js";
import { SPLAT_SIZE } from "../avatar/projection.js";

const NO_BYTES = new Uint8Array(0);

export class RasterTeam {
  /** @param {Object | null} layer static arrays of the layer @param {MessagePort[]} ports to the helpers */
  constructor(layer, ports) {
    this.raster = new BandRaster(layer);
    this.splats = new Float32Array(0);
    this.helpers = ports.map((port) => new Helper(port));
  }

  /** Divides a projected frame into bands, one for each worker.
   * @param {import("../avatar/projection.js").Projection} projection @param {import("../avatar/projection.js").Camera} camera
   * @param {import("../avatar/mesh_layer.js").LayerView | null} view @param {Float32Array | null} vertices [V,4]
   * @param {Uint8Array[]} spare memory of the bands of an earlier frame
   * @returns {import("./band_raster.js").BandJob[]} */
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
   * @param {import("./band_raster.js").BandJob[]} jobs @returns {Promise<import("./band_raster.js").Band[]>} */
  async draw([job, ...others]) {
    const parts = others.map((other, k) => this.working[k].draw(other));
    const own = this.raster.draw(job);
    return [own, ...(await Promise.all(parts))];
  }
}

/** Another worker, seen from this one. */
class Helper {
  /** @param {MessagePort} port */
  constructor(port) {
    this.port = port;
    this.isReady = false;
    this.splats = new Float32Array(0);
    port.onmessage = ({ data }) => this.#receive(data);
  }

  /** @param {import("./band_raster.js").BandJob} job @returns {Promise<import("./band_raster.js").Band>} */
  draw(job) {
    return new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
      this.port.postMessage(job, [job.splats.buffer, ...(job.bytes.length ? [job.bytes.buffer] : [])]);
    });
  }

  #receive({ type, band, splats, message }) {
    if (type === "ready") this.isReady = true;
    else if (type === "failed") this.reject(new Error(message));
    else {
      this.splats = splats;
      this.resolve(band);
    }
  }
}

/** Draws the bands that another worker sends. @param {MessagePort} port @param {Object | null} layer */
export function helpToDraw(port, layer) {
  const raster = new BandRaster(layer);
  port.onmessage = ({ data: job }) => {
    try {
      const band = raster.draw(job);
      port.postMessage({ type: "band", band, splats: job.splats }, [band.bytes.buffer, job.splats.buffer]);
    } catch (error) {
      port.postMessage({ type: "failed", message: error.message });
    }
  };
  port.postMessage({ type: "ready" });
}
