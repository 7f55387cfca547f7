/** The camera of the page: the avatar follows the face in it. Images stay in the page and are not kept. */
import { Calibration } from "./calibration.js";
import { FaceFilter } from "./face_filter.js";
import { interpolatedParams, Presence, smoothstep } from "./presence.js";
import { cameraSentence, openCamera } from "./refusal.js";
import { RegionHold } from "./region_hold.js";
import { VoicedFace } from "./voiced_face.js";
import { Retargeting } from "../motions/retargeting.js";
import { startWorker } from "../container/scripts.js";
import { blockedBy, blockedSentence } from "../container/server_policy.js";
/** @import { HeadParams } from "../avatar/head.js" */
/** @import { TrainedRange } from "../avatar/trained_range.js" */
/** @import { AvatarHeader } from "../container/avatar_container.js" */
/** @import { CameraPack } from "./camera_pack.js" */
/** @import { TrackedFace } from "./camera_worker.js" */
/** @import { FaceDriver } from "./face_driver.js" */
/** @import { FaceSample } from "./face_fitter.js" */

const IMAGE = { width: { ideal: 640 }, frameRate: { ideal: 30 }, facingMode: "user" };
const MAX_SIDE = 640; // pixels of the images that are tracked
const SANDBOXED =
  "The sandbox of this page, from a header of the web server or the frame around it, blocks the camera; add allow-same-origin " +
  "to it.";

export class Camera {
  /** @param {{pack: () => Promise<CameraPack>, script: string, video: HTMLVideoElement}} page what its worker needs, the address of
   * that worker's script, and where the image is shown @param {AvatarHeader} header of the container @param {TrainedRange} range
   * @param {{changed: () => void, moved: () => void, state: (text: string) => void, say: (text: string) => void}} reports of
   * a change of `isOn`, of a new pose, of the state, and of a sentence for the page */
  constructor(page, header, range, reports) {
    this.page = page;
    this.header = header;
    this.range = range;
    this.reports = reports;
    this.isOn = false;
    /** Factor by group of expressions, see GAIN_GROUPS. @type {Object<string, number>} */
    this.gains = {};
    this.rest = restingParams(header, range);
    /** The present start, until `stop`. @type {object | null} */
    this.turn = null;
    /** @type {MediaStream | null} */
    this.stream = null;
    /** Number of the streams so far. */
    this.session = 0;
    /** The tracker, once it is loaded, and its loading. @type {Worker | null} */
    this.worker = null;
    /** @type {Promise<void> | null} */
    this.loading = null;
    /** Expressions that the worker tracks. @type {string[]} */
    this.names = [];
    /** Of the present stream. @type {Calibration | null} */
    this.calibration = null;
    this.filter = new FaceFilter(this.names, header);
    this.hold = new RegionHold(this.names);
    this.presence = new Presence(this.rest, header);
    /** While the microphone is on, too: the faces of this stream with their voice. @type {VoicedFace<TrackedFace> | null} */
    this.voiced = null;
    /** The driver before a new calibration, and when that ended. @type {{driver: FaceDriver, since: number} | null} */
    this.previous = null;
  }

  /** The pose of the avatar now; null before a face is known. @returns {HeadParams | null} */
  get pose() {
    return this.calibration?.driver ? this.presence.paramsAt(now()) : null;
  }

  /** Whether the pose changes without a new image. */
  get isBlending() {
    return Boolean(this.calibration?.driver) && this.presence.isMovingAt(now());
  }

  /** Whether the browser is asking for the camera. */
  get isStarting() {
    return Boolean(this.turn) && !this.isOn;
  }

  /** Starts or stops. */
  async toggle() {
    if (this.turn) this.stop();
    else await this.start();
  }

  /** Asks for the camera and follows it; reports why it cannot. */
  async start() {
    if (this.turn) return;
    const turn = (this.turn = {});
    try {
      if (self.origin === "null" && location.protocol !== "file:") throw new Error(SANDBOXED);
      const stream = await openCamera(IMAGE);
      if (this.turn === turn) await this.#follow(stream);
      else stream.getTracks().forEach((track) => track.stop());
    } catch (error) {
      if (this.turn !== turn) return; // stopped in the meantime
      this.stop();
      this.reports.say(cameraSentence(error));
    }
  }

  /** Gives the camera back. */
  stop() {
    this.turn = null;
    this.stream?.getTracks().forEach((track) => track.stop());
    this.page.video.srcObject = this.stream = null;
    this.calibration = this.voiced = null;
    this.#set(false);
    this.reports.state("");
  }

  /** Takes the next resting face for the neutral one. */
  calibrate() {
    this.calibration?.restart();
  }

  /** Lets a voice shape the mouth: what it says at `heard` seconds.
   * @param {number} heard @param {Record<string, number>} weights by expression */
  listen(heard, weights) {
    if (!this.calibration) return;
    this.voiced ??= new VoicedFace(this.names);
    this.voiced.listen(heard, weights);
    this.#showVoiced(this.voiced);
  }

  /** Shows faces as the camera sees them again. */
  stopListening() {
    this.voiced = null;
  }

  /** @param {MediaStream} stream */
  async #follow(stream) {
    const { video } = this.page;
    this.stream = stream;
    stream.getVideoTracks()[0].onended = () => {
      if (this.stream !== stream) return;
      this.stop();
      this.reports.say("The camera is gone; connect it and try again.");
    };
    video.srcObject = stream;
    this.#set(true);
    this.reports.state("loading the face tracker");
    await Promise.all([video.play(), (this.loading ??= this.#load())]);
    if (this.stream !== stream) return; // stopped in the meantime
    this.session++;
    this.worker?.postMessage({ type: "restart" });
    this.calibration = new Calibration(this.header, this.range, this.names);
    this.filter = new FaceFilter(this.names, this.header);
    this.hold = new RegionHold(this.names);
    this.presence = new Presence(this.rest, this.header);
    this.previous = null;
    this.reports.state("waiting for a face");
    this.#next(stream);
  }

  /** Starts the worker. */
  async #load() {
    try {
      const pack = await this.page.pack();
      const worker = await this.#startWorker(pack);
      worker.onmessage = ({ data }) => (data.type === "failed" ? this.#fail(failure(data)) : this.#receive(data));
      worker.onerror = ({ message }) => this.#fail(cannotFollow(message));
    } catch (error) {
      this.#discard();
      throw error;
    }
  }

  /** The worker, once it has loaded and named the expressions that it tracks.
   * @param {CameraPack} pack @returns {Promise<Worker>} */
  async #startWorker(pack) {
    try {
      const worker = (this.worker = startWorker(this.page.script));
      this.names = await new Promise((resolve, reject) => {
        worker.onerror = ({ message }) => reject(new Error(cannotFollow(message)));
        worker.onmessage = ({ data }) => (data.type === "loaded" ? resolve(data.names) : reject(new Error(failure(data))));
        worker.postMessage({ type: "load", pack });
      });
      return worker;
    } catch (error) {
      const directive = await blockedBy();
      throw directive ? new Error(blockedSentence(directive, "the camera")) : error;
    }
  }

  /** Sends the next image of the camera to the worker. @param {MediaStream} stream */
  #next(stream) {
    const { video } = this.page;
    const send = async () => {
      if (this.stream !== stream) return;
      const image = await createImageBitmap(video, shrunk(video)).catch(() => null); // no image yet
      if (this.stream !== stream) image?.close();
      else if (!image) this.#next(stream);
      else this.worker?.postMessage({ type: "track", session: this.session, image, seconds: now() }, [image]);
    };
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(send);
    else requestAnimationFrame(send);
  }

  /** @param {TrackedFace} data */
  #receive(data) {
    const { stream, calibration } = this;
    if (!stream || !calibration || data.session !== this.session) return; // an image from before a stop
    this.#next(stream);
    if (data.earlier.length) this.#calibrateOn(data.earlier, calibration);
    if (!this.voiced) return this.#show(data, calibration);
    this.voiced.see(data, now());
    this.#showVoiced(this.voiced);
  }

  /** Shows the newest face whose sound is heard. @param {VoicedFace<TrackedFace>} voiced */
  #showVoiced(voiced) {
    const found = voiced.take(now());
    if (found && this.calibration) this.#show(found, this.calibration);
  }

  /** @param {TrackedFace} data @param {Calibration} calibration */
  #show(data, calibration) {
    if (data.sample) this.#use(data.sample, calibration);
    else {
      this.presence.markLost(data.seconds);
      this.filter.reset(); // what hidden regions hold stays: the face may come back with them
    }
    this.reports.state(stateOf(data, calibration));
    if (data.sample || this.isBlending) this.reports.moved();
  }

  /** Stops with a sentence; the next start loads the tracker again. @param {string} message */
  #fail(message) {
    this.#discard();
    this.stop();
    this.reports.say(message);
  }

  #discard() {
    this.worker?.terminate();
    this.worker = this.loading = null;
  }

  /** Takes the resting face from the frames that showed who it is: another person, or the image of a phone that was turned.
   * @param {FaceSample[]} earlier @param {Calibration} calibration */
  #calibrateOn(earlier, calibration) {
    calibration.restart();
    for (const sample of earlier) if (!calibration.isDone) calibration.update(this.filter.filter(sample));
    this.filter.reset();
  }

  /** Poses the avatar; after a new calibration the pose goes over from that of the driver before.
   * @param {FaceSample} sample @param {Calibration} calibration */
  #use(sample, calibration) {
    const { seconds } = sample, smooth = this.filter.filter(this.hold.apply(sample));
    const before = calibration.driver, driver = calibration.update(smooth);
    if (!driver) return;
    if (before && driver !== before) this.previous = { driver: before, since: seconds };
    let params = driver.params(smooth, this.gains);
    if (this.previous) {
      const amount = smoothstep((seconds - this.previous.since) / this.presence.toFace);
      params = interpolatedParams(this.previous.driver.params(smooth, this.gains), params, amount);
      if (amount >= 1) this.previous = null;
    }
    this.presence.update(params, seconds);
  }

  /** @param {boolean} isOn */
  #set(isOn) {
    this.isOn = isOn;
    this.reports.changed();
  }
}

/** What the page reports after an image. @param {TrackedFace} data @param {Calibration} calibration */
function stateOf({ sample, earlier, isFace, progress }, calibration) {
  if (!isFace && sample) return "no face is seen: your voice moves the mouth";
  if (!isFace) return progress < 1 ? "waiting for a face" : "no face is seen";
  if (progress < 1) return `learning your face: ${Math.floor(100 * progress)} %`;
  if (!sample && !earlier.length) return "no face is seen";
  if (sample?.hidden.length) return `${sample.hidden.join(" and ")} hidden`;
  return calibration.isDone ? calibration.note || "live" : `calibrating: ${calibration.note}`;
}

/** Why the worker has failed. @param {{message: string, blocked: string}} data */
function failure({ message, blocked }) {
  return blocked ? blockedSentence(blocked, "the camera") : message;
}

/** @param {string} reason */
function cannotFollow(reason) {
  return `The camera cannot be followed (${reason || "its worker does not start"}); use another browser.`;
}

/** Seconds of the clock of the samples. */
function now() {
  return performance.now() / 1000;
}

/** Options of an image that is at most MAX_SIDE wide and high.
 * @param {HTMLVideoElement} video @returns {ImageBitmapOptions} */
function shrunk({ videoWidth, videoHeight }) {
  const factor = MAX_SIDE / Math.max(videoWidth, videoHeight, 1);
  if (factor >= 1) return {};
  return { resizeWidth: Math.round(factor * videoWidth), resizeHeight: Math.round(factor * videoHeight), resizeQuality: "medium" };
}

/** The avatar at rest with closed lips.
 * @param {AvatarHeader} header @param {TrainedRange} range @returns {HeadParams} */
function restingParams(header, range) {
  const retargeting = new Retargeting(header, range, []);
  retargeting.closeLips([retargeting.neutral]);
  return range.headParams({
    expression: retargeting.neutral, jointRot: new Array(15).fill(0), rotation: range.meanRotation,
    position: range.meanPosition,
  });
}
