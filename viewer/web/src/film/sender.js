/** Images of the camera on their way to the server: never more than it takes. */
import { addressOf, startWorker } from "../container/scripts.js";

const MOST_WAITING = 2; // images that were sent and not taken

export class Sender {
  /** @param {HTMLVideoElement} video whose images are sent @param {string} script of the worker
   * @param {(message: ArrayBuffer) => boolean} send whether it could @param {(sentence: string) => void} failed */
  constructor(video, script, send, failed) {
    this.video = video;
    /** Times of the images that were sent and not taken. @type {number[]} */
    this.waiting = [];
    this.isEncoding = false;
    this.isOn = false;
    this.worker = startWorker(addressOf(script));
    this.worker.onmessage = ({ data: { message, seconds } }) => {
      this.isEncoding = false;
      if (this.isOn && send(message)) this.waiting.push(seconds);
    };
    this.worker.onerror = ({ message }) => failed(`The images of the camera cannot be sent (${message}); use another browser.`);
  }

  /** Sends the images of the video from now on. */
  start() {
    this.waiting = [];
    if (!this.isOn) this.#next();
    this.isOn = true;
  }

  stop() {
    this.isOn = false;
  }

  /** The server has taken the image of this time, and none before it waits. @param {number} seconds */
  take(seconds) {
    this.waiting = this.waiting.filter((each) => each > seconds);
  }

  #next() {
    this.video.requestVideoFrameCallback((now, { captureTime }) => {
      if (!this.isOn) return;
      this.#next();
      if (!this.isEncoding && this.waiting.length < MOST_WAITING) this.#encode((performance.timeOrigin + (captureTime ?? now)) / 1000);
    });
  }

  /** @param {number} seconds */
  async #encode(seconds) {
    this.isEncoding = true;
    const image = await imageOf(this.video);
    if (image) this.worker.postMessage({ image, seconds }, [image]);
    else this.isEncoding = false;
  }
}

/** The present image; null where there is none any more. A VideoFrame is no copy, and stays where the camera has put it.
 * @param {HTMLVideoElement} video @returns {Promise<VideoFrame | ImageBitmap | null>} */
async function imageOf(video) {
  try {
    return typeof VideoFrame === "function" ? new VideoFrame(video) : await createImageBitmap(video);
  } catch {
    return null;
  }
}
