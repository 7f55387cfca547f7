/** Poses and sound that `headsplat serve` sends to its page: the pose of the sound that is heard is shown. */
/** @import { HeadParams } from "../avatar/head.js" */

const VERSION = 1;
const RETRY_DELAYS = [0.5, 1, 2, 5]; // seconds
const POSE_NUMBERS = 18; // of the joints and the translation
const HEADER_BYTES = 8;
/** Seconds that the latest of the messages of a second is ahead of its sound, at least and where silence allows it. */
const AHEAD = 0.06;
const LEAST_AHEAD = 0.03;
/** Messages of a second, roughly. */
const SECOND = 30;
/** Seconds of sound that wait at most: what comes after a long interruption is left out. */
const MOST_AHEAD = 0.5;
const FULL_SCALE = 32768;
const MOST_POSES = 120; // that wait; a page in the background shows none
const LOST = "disconnected; when headsplat serve runs again, open its new address";
const FOREIGN = "the server sends poses of another avatar; load the page again";

/** A frame that waits for its sound.
 * @typedef {Object} TimedPose
 * @property {number} time seconds of the audio clock @property {number} number of the frame
 * @property {HeadParams} pose */

export class SpokenPoses {
  /** Connects to the server, and again after an interruption.
   * @param {URL} address of the stream @param {number} expressions of the avatar
   * @param {() => void} changed called after each pose @param {(text: string) => void} report of the state */
  constructor(address, expressions, changed, report) {
    this.address = address;
    this.expressions = expressions;
    this.changed = changed;
    this.report = report;
    /** The pose to show, and its number. @type {HeadParams | null} */
    this.pose = null;
    this.number = -1;
    this.fps = 60;
    this.rate = 24000;
    /** Once the sound is on. @type {AudioContext | null} */
    this.context = null;
    /** Samples of the audio clock at the start of the stream; null: set by the next message. @type {number | null} */
    this.origin = null;
    /** @type {TimedPose[]} */
    this.waiting = [];
    /** How often sound came too late, and how many messages were left out. */
    this.late = this.skipped = 0;
    /** Samples by which the latest message was ahead, of so many; and samples of silence to leave out. */
    this.ahead = { least: Infinity, of: 0, excess: 0 };
    this.failures = 0;
    this.isForeign = this.isClosed = false;
    this.socket = this.#connect();
  }

  /** Plays the sound, or stops it. To be called by a click: browsers start no sound by themselves. */
  async toggleSound() {
    if (this.context) {
      const { context } = this;
      this.context = null;
      this.waiting = [];
      await context.close();
      return;
    }
    this.context = new AudioContext({ sampleRate: this.rate, latencyHint: "interactive" });
    this.origin = null;
    await this.context.resume();
  }

  /** Takes the pose of the sound that is heard now; to be called before each frame of the page. */
  advance() {
    const { context, waiting } = this;
    if (!context) return;
    const heard = context.currentTime - (context.outputLatency || context.baseLatency || 0);
    let next = null;
    while (waiting.length && waiting[0].time <= heard) next = waiting.shift() ?? null;
    if (next) this.#show(next.pose, next.number);
  }

  /** Ends the connection and the sound. */
  close() {
    this.isClosed = true;
    this.socket.close();
    this.context?.close();
    this.context = null;
  }

  /** There is nothing to calibrate. */
  calibrate() {}

  #connect() {
    const socket = new WebSocket(this.address);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => (this.failures = 0);
    socket.onmessage = ({ data }) => (typeof data === "string" ? this.#greet(data) : this.#receive(data));
    socket.onclose = () => {
      this.origin = null;
      this.waiting = [];
      if (this.isForeign || this.isClosed) return;
      this.report(LOST);
      const delay = RETRY_DELAYS[Math.min(this.failures++, RETRY_DELAYS.length - 1)];
      setTimeout(() => this.isClosed || (this.socket = this.#connect()), 1000 * delay);
    };
    return socket;
  }

  /** @param {string} text */
  #greet(text) {
    const { version, fps, rate, expressions } = JSON.parse(text);
    this.isForeign = version !== VERSION || expressions !== this.expressions;
    this.report(this.isForeign ? FOREIGN : "live");
    if (this.isForeign) return this.socket.close();
    this.fps = fps;
    this.rate = rate;
  }

  /** Takes the frames of a message. @param {ArrayBuffer} buffer */
  #receive(buffer) {
    const view = new DataView(buffer);
    const number = view.getUint32(0, true), frames = view.getUint16(4, true), length = view.getUint16(6, true);
    const end = HEADER_BYTES + 4 * frames * length;
    if (length !== this.expressions + POSE_NUMBERS || end > buffer.byteLength) return;
    /** @type {HeadParams[]} */
    const poses = [];
    for (let k = 0; k < frames; k++) {
      const values = Array.from({ length }, (_, i) => view.getFloat32(HEADER_BYTES + 4 * (k * length + i), true));
      if (!values.every(Number.isFinite)) return;
      const [joints, translation] = [this.expressions, length - 3];
      poses.push({
        expression: values.slice(0, joints),
        jointRot: values.slice(joints, translation),
        translation: values.slice(translation),
      });
    }
    const sound = Float32Array.from(
      { length: (buffer.byteLength - end) >> 1 },
      (_, i) => view.getInt16(end + 2 * i, true) / FULL_SCALE,
    );
    if (this.context?.state === "running") this.#schedule(this.context, number, poses, sound);
    else this.#show(poses[frames - 1], number + frames - 1);
  }

  /** Plays sound when it is due, and shows its poses with it.
   * @param {AudioContext} context @param {number} number of the first frame @param {HeadParams[]} poses
   * @param {Float32Array<ArrayBuffer>} sound */
  #schedule(context, number, poses, sound) {
    const { fps, rate, ahead } = this;
    const now = Math.ceil(context.currentTime * rate), first = Math.round((number / fps) * rate);
    const isSilent = sound.every((value) => value === 0);
    let wait = this.origin === null ? -Infinity : this.origin + first - now;
    if (wait < 0 || (isSilent && wait < LEAST_AHEAD * rate)) {
      this.late += Number(wait < 0 && this.origin !== null);
      wait = Math.round(AHEAD * rate);
      this.origin = now + wait - first;
      ahead.excess = 0;
    }
    ahead.least = Math.min(ahead.least, wait);
    if (++ahead.of === SECOND) {
      ahead.excess = ahead.least - AHEAD * rate;
      ahead.least = Infinity;
      ahead.of = 0;
    }
    if (wait > MOST_AHEAD * rate || (isSilent && ahead.excess >= sound.length)) {
      this.origin = (this.origin ?? 0) - sound.length;
      ahead.excess -= sound.length;
      this.skipped++;
      return;
    }
    const start = (this.origin ?? 0) + first;
    if (!isSilent) {
      const buffer = context.createBuffer(1, sound.length, rate);
      buffer.copyToChannel(sound, 0);
      const source = new AudioBufferSourceNode(context, { buffer });
      source.connect(context.destination);
      source.start(start / rate);
    }
    poses.forEach((pose, k) => this.waiting.push({ time: start / rate + k / fps, number: number + k, pose }));
    this.waiting.splice(0, Math.max(this.waiting.length - MOST_POSES, 0));
  }

  /** @param {HeadParams} pose @param {number} number */
  #show(pose, number) {
    this.pose = pose;
    this.number = number;
    this.changed();
  }
}
