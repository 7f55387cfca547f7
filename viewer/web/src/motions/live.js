/** Poses that a local `headsplat live --web` streams to its page. */
import { streamAddress } from "./stream_address.js";
/** @import { HeadParams } from "../avatar/head.js" */

const RETRY_SECONDS = [0.5, 1, 2, 5];
const JOINT_NUMBERS = 15;
const TORSO_NUMBERS = 6;
/** @type {Record<string, string>} */
const STATES = {
  waiting: "waiting for a face", calibrating: "calibrating: look ahead and relax", driving: "live",
  lost: "no face is seen",
};
const GONE = "disconnected; when headsplat live runs again, open its new address";

/** Whether `values` are `count` finite numbers. @param {unknown} values @param {number} count @returns {boolean} */
function areNumbers(values, count) {
  return Array.isArray(values) && values.length === count && values.every(Number.isFinite);
}

export class LivePoses {
  /** Connects to the server of the page, and again after an interruption.
   * @param {number} expressions of the avatar
   * @param {() => void} changed called after each pose @param {(text: string) => void} report of the state */
  constructor(expressions, changed, report) {
    this.expressions = expressions;
    this.changed = changed;
    this.report = report;
    /** The newest pose. @type {HeadParams | null} */
    this.pose = null;
    this.failures = 0;
    this.socket = this.#connect();
  }

  /** Requests that the performer's next resting face becomes the neutral one. */
  calibrate() {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send("calibrate");
  }

  #connect() {
    const socket = new WebSocket(streamAddress("poses"));
    socket.onopen = () => (this.failures = 0);
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = () => {
      this.report(GONE);
      const delay = RETRY_SECONDS[Math.min(this.failures++, RETRY_SECONDS.length - 1)];
      setTimeout(() => (this.socket = this.#connect()), 1000 * delay);
    };
    return socket;
  }

  /** @param {string} text */
  #receive(text) {
    const { expression, jointRot, translation, torso, phase, note } = JSON.parse(text);
    const isPose =
      areNumbers(expression, this.expressions) && areNumbers(jointRot, JOINT_NUMBERS) && areNumbers(translation, 3);
    if (!isPose || (torso !== undefined && !areNumbers(torso, TORSO_NUMBERS))) {
      this.report("the server sends poses of another avatar; load the page again");
      return;
    }
    this.pose = { expression, jointRot, translation, torso };
    this.report(typeof note === "string" ? note : STATES[phase] ?? "live");
    this.changed();
  }
}
