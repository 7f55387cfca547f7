/** The player: sends poses and cameras to the worker and renders the frames that come back. Where there is no graphics
 * card, the worker and its helpers draw them. */
import { startHelpers } from "../draw_cpu/helpers.js";
import { Renderer } from "../draw/renderer.js";
import { messageOf } from "../container/error_message.js";
import { startWorker } from "../container/scripts.js";
/** @import { HeadParams } from "../avatar/head.js" */
/** @import { LayerArrays } from "../avatar/mesh_layer.js" */
/** @import { Camera } from "../avatar/projection.js" */
/** @import { AvatarHeader } from "../container/avatar_container.js" */
/** @import { Frame } from "../draw/renderer.js" */
/** @import { PackedMotion } from "../motions/motions.js" */

/** What the worker makes of a container.
 * @typedef {Object} LoadedAvatar
 * @property {"loaded"} type
 * @property {AvatarHeader} header
 * @property {LayerArrays | null} layer
 * @property {PackedMotion | null} motion
 * @property {number} gaussians N */

const NO_WORKER = "The worker of the page cannot start; check that all of its files are there, or use another browser.";
const WHITE = [1, 1, 1, 1];

export class Player {
  /** Starts the worker and reads the container of an avatar.
   * @param {HTMLCanvasElement} canvas @param {string} script address of that of the workers @param {ArrayBuffer} buffer
   * @param {boolean} [onProcessor] where the image is drawn; omitted: where it is faster
   * @param {boolean} [asGaussians] whether frames have the posed Gaussians, and no image is drawn
   * @returns {Promise<Player>} rejected with an error whose message is for the page */
  static async load(canvas, script, buffer, onProcessor, asGaussians) {
    const worker = startWorker(script);
    return new Promise((resolve, reject) => {
      worker.onerror = (event) => reject(new Error(event.message || NO_WORKER));
      worker.onmessage = ({ data }) => {
        if (data.type === "failed") reject(new Error(data.message));
        else
          try {
            resolve(new Player(canvas, worker, data, script, onProcessor, asGaussians));
          } catch (error) {
            reject(new Error(`The avatar cannot be rendered (${messageOf(error)}); use another browser.`));
          }
      };
      worker.postMessage({ type: "load", buffer }, [buffer]);
    });
  }

  /** @param {HTMLCanvasElement} canvas @param {Worker} worker @param {LoadedAvatar} avatar its header and static arrays
   * @param {string} script @param {boolean} [onProcessor] @param {boolean} [asGaussians] */
  constructor(canvas, worker, avatar, script, onProcessor, asGaussians) {
    this.canvas = canvas;
    this.header = avatar.header;
    this.motion = avatar.motion;
    this.gaussians = avatar.gaussians;
    this.renderer = asGaussians ? null : new Renderer(canvas, avatar, onProcessor);
    this.background = WHITE;
    /** Called with the frame after it is rendered. @type {((frame: Frame) => void) | null} */
    this.onframe = null;
    /** Called with a sentence when the worker fails. @type {((text: string) => void) | null} */
    this.onfailure = null;
    /** Called with the next frame, and with that which the worker computes. @type {((frame: Frame) => void)[]} */
    this.waiting = [];
    /** @type {((frame: Frame) => void)[]} */
    this.sent = [];
    /** The next request. @type {{params: HeadParams | undefined, camera: Camera} | null} */
    this.wanted = null;
    /** The last frame. @type {Frame | null} */
    this.frame = null;
    this.isBusy = false;
    /** Arrays of an earlier frame, for reuse. @type {(Float32Array | Uint8Array)[]} */
    this.spare = [];
    this.worker = worker;
    this.helpers = this.renderer?.onProcessor ? startHelpers(script, worker, avatar.layer) : [];
    worker.onmessage = ({ data }) => (data.type === "frame" ? this.#receive(data) : this.onfailure?.(data.message));
  }

  /** Shows the avatar with parameters (omitted: unchanged) from a camera. While a frame is computed, the last call
   * wins.
   * @param {HeadParams | undefined} params @param {Camera} camera
   * @returns {Promise<Frame>} the rendered frame that shows this or a later call */
  show(params, camera) {
    this.wanted = { params: params ?? this.wanted?.params, camera };
    const shown = new Promise((resolve) => this.waiting.push(resolve));
    if (!this.isBusy) this.#send();
    return shown;
  }

  /** Changes the background, sRGB and alpha 0..1, and renders again. */
  setBackground(/** @type {[number, number, number, number?]} */ [red, green, blue, alpha = 1]) {
    this.background = [red * alpha, green * alpha, blue * alpha, alpha];
    this.redraw();
  }

  /** Renders the last frame again, for reading the canvas in the same task. */
  redraw() {
    if (this.frame && !this.frame.gaussians) this.renderer?.render(this.frame, this.background);
  }

  /** Ends the workers and frees the memory of the graphics card. */
  dispose() {
    for (const worker of [this.worker, ...this.helpers]) worker.terminate();
    this.renderer?.gl.getExtension("WEBGL_lose_context")?.loseContext();
    this.frame = null;
  }

  #send() {
    this.isBusy = true;
    this.sent = this.waiting;
    this.waiting = [];
    const { spare } = this;
    this.spare = [];
    const request = { type: "draw", ...this.wanted, spare, asGaussians: !this.renderer };
    this.wanted = null;
    this.worker.postMessage(request, spare.map((array) => array.buffer));
  }

  /** @param {Frame} frame */
  #receive(frame) {
    const { sent, frame: last } = this;
    this.isBusy = false;
    this.frame = frame;
    if (last?.gaussians) this.spare = [last.gaussians];
    else if (last?.bands) this.spare = last.bands.map(({ bytes }) => bytes);
    else if (last) this.spare = last.vertices ? [last.splats, last.vertices] : [last.splats];
    if (this.wanted) this.#send();
    if (!frame.gaussians) this.renderer?.render(frame, this.background);
    this.onframe?.(frame);
    for (const resolve of sent) resolve(frame);
  }
}
