/** The package: the element <headsplat-avatar src="me.hsa"> and `loadAvatar`. */
import { followGestures } from "./gestures.js";
import { clamp, finite } from "../avatar/linear.js";
import { messageOf } from "../container/error_message.js";
import { fetched } from "../container/fetched.js";
import { ManualPose } from "./manual_pose.js";
import { packedMotion } from "../motions/motions.js";
import { SpokenPoses } from "../motions/spoken.js";
import { Orbit } from "./orbit.js";
import { Player } from "./player.js";
import { Resolution } from "./resolution.js";
import { checkedScene, pinholeOf } from "./scene_camera.js";
import { addressOf } from "../container/scripts.js";
import { blockedBy } from "../container/server_policy.js";
import { TrainedRange } from "../avatar/trained_range.js";
import { WORKER_SOURCE } from "./worker_source.js";
/** @import { HeadParams } from "../avatar/head.js" */
/** @import { Camera } from "../avatar/projection.js" */
/** @import { PlayedMotion } from "../motions/motions.js" */
/** @import { Sliders } from "./manual_pose.js" */
/** @import { SceneCamera } from "./scene_camera.js" */

const STYLE = `
:host { display: inline-block; width: 384px; height: 512px; }
:host([hidden]) { display: none; }
canvas { display: block; width: 100%; height: 100%; touch-action: none; outline-offset: -2px; }
p { margin: 0; padding: 1em; }`;

const WORKER_BLOCKED =
  'A header of the web server blocks the avatar (worker-src); the page needs "worker-src blob:" in its Content-Security-Policy.';
/** Of the script of the workers, once there is an avatar. @type {string | undefined} */
let workerAddress;

/** A pose of the face; what is left out keeps its value.
 * @typedef {Object} FacePose
 * @property {Object<string, number>} [weights] by name of the expression, added to the resting face
 * @property {number[]} [gaze] to the person's left and up, -1..1
 * @property {number[]} [head] yaw to the person's left, pitch down, roll to the person's right shoulder, degrees
 * @property {boolean} [limited] within the trained range; true at first */

/** A rendered frame, in `detail` of the event `frame`.
 * @typedef {Object} FrameDetail
 * @property {number} poseTime milliseconds of posing the Gaussians
 * @property {number} sortTime milliseconds of projecting and sorting them
 * @property {SceneCamera | null} camera of the scene, with which the frame was rendered; null
 *   where the element's own camera was
 * @property {Float32Array | null} gaussians [M,14] with `asGaussians`, until the next frame: center (meters, the avatar's
 *   space), quaternion xyzw, standard deviations (meters), sRGB, opacity; null without */

/** An avatar on a page. Events: `load`, `frame` after each rendered one, `voice` with the state of
 * the voice that is followed, and `error`, both with a sentence in `detail`. In the
 * listeners of `frame`, and only there, `canvas` can be copied: the browser empties it after the task. */
export class HeadsplatAvatar extends HTMLElement {
  static observedAttributes = ["src"];
  /** Of the present avatar; null before `load`. @type {Player | null} */
  player = null;
  /** @type {Orbit | null} */
  orbit = null;
  /** @type {TrainedRange | null} */
  range = null;
  /** @type {ManualPose | null} */
  manual = null;
  /** @type {Resolution | null} */
  resolution = null;
  /** The packed motion. @type {PlayedMotion | null} */
  motion = null;
  /** Camera of a scene, in place of the element's own. @type {Camera | null} */
  pinhole = null;
  pose = restingPose();
  /** Seconds of the motion; null where `pose` is shown. @type {number | null} */
  motionTime = null;
  /** Milliseconds of the last frame of the motion. @type {number | undefined} */
  last = undefined;
  /** The voice that is followed. @type {SpokenPoses | null} */
  speech = null;
  /** Whether frames have the posed Gaussians in place of an image, for the splat renderer of a scene; to be set before
   * `load`. */
  asGaussians = false;
  isPlaying = false;
  isRequested = false;
  isStarted = false;
  turnOfLoad = 0;

  /** Loads the file at an address, or the bytes of one, in place of the present avatar.
   * @param {string | URL | ArrayBuffer} source @returns {Promise<HeadsplatAvatar>} rejected with an error whose message
   *   is one sentence */
  async load(source) {
    const turn = ++this.turnOfLoad;
    try {
      const buffer = source instanceof ArrayBuffer ? source.slice(0) : await fetched(source);
      if (turn !== this.turnOfLoad) return this; // another file was requested in the meantime
      this.dispose();
      const { canvas } = this.#prepare();
      const script = (workerAddress ??= addressOf(WORKER_SOURCE));
      const player = await Player.load(canvas, script, buffer, undefined, this.asGaussians);
      if (turn !== this.turnOfLoad) player.dispose();
      else this.#show(player);
    } catch (error) {
      const isBlocked = (await blockedBy()) === "worker-src";
      const message = isBlocked ? WORKER_BLOCKED : messageOf(error);
      if (turn === this.turnOfLoad) this.#fail(message);
      throw isBlocked ? new Error(message) : error;
    }
    return this;
  }

  /** Names of the expressions; empty before `load`. */
  get expressionNames() {
    return this.player ? [...this.player.header.head.expression_names] : [];
  }

  /** Title, note, consent and provenance of the avatar; null before `load`. */
  get about() {
    if (!this.player) return null;
    const { name, note, consent, provenance } = this.player.header;
    return { name, note, consent, provenance };
  }

  /** The image of the avatar, premultiplied sRGB and alpha; another one after each `load`, null before.
   * @returns {HTMLCanvasElement | null} */
  get canvas() {
    return this.player?.canvas ?? null;
  }

  /** Where the resting head is in the avatar's space (meters, y up): its center, and the unit vector that it looks along;
   * null before `load`. @returns {{center: number[], forward: number[]} | null} */
  get placement() {
    return this.orbit ? { center: [...this.orbit.center], forward: [...this.orbit.forward] } : null;
  }

  /** Poses the face, in place of a motion. @param {FacePose} pose */
  setPose({ weights, gaze, head, limited }) {
    this.pause();
    this.follow(null);
    this.motionTime = null;
    const { pose } = this;
    if (weights) pose.weights = new Map(Object.entries(weights).map(([name, weight]) => [name, finite(weight)]));
    if (gaze) pose.gaze = [0, 1].map((k) => clamp(finite(gaze[k]), -1, 1));
    if (head) pose.turn = [0, 1, 2].map((k) => finite(head[k]));
    if (limited !== undefined) pose.limited = Boolean(limited);
    this.changed();
  }

  /** Places the camera around the head, or takes that of a scene in place of it, which gestures do not move.
   * @param {{yaw?: number, pitch?: number, zoom?: number} | SceneCamera} camera radians to
   *   the right and up from the front, and a zoom of which 1 frames head and shoulders; or matrices and size */
  setCamera(camera) {
    const { orbit } = this;
    if (!orbit) return;
    this.pinhole = "view" in camera ? pinholeOf(checkedScene(camera)) : null;
    /** @type {{yaw?: number, pitch?: number, zoom?: number}} */
    const { yaw, pitch, zoom } = "view" in camera ? {} : camera;
    orbit.turn(finite(yaw ?? orbit.yaw) - orbit.yaw, finite(pitch ?? orbit.pitch) - orbit.pitch);
    orbit.zoomBy(finite(zoom ?? orbit.zoom) / orbit.zoom);
    this.changed();
  }

  /** Background, sRGB and alpha 0..1; transparent at first. @param {[number, number, number, number?]} color */
  setBackground(color) {
    this.player?.setBackground(color);
  }

  /** Shows what an agent says at a `headsplat serve` of the same avatar, which needs `--origin` with that of this page.
   * @param {string | URL | null} address that it has printed; null: ends it */
  follow(address) {
    this.speech?.close();
    this.speech = null;
    if (address === null || !this.player) return;
    this.pause();
    this.motionTime = null;
    const url = new URL(address);
    url.protocol = url.protocol.replace("http", "ws");
    url.pathname = "/watch";
    const report = (/** @type {string} */ detail) => this.dispatchEvent(new CustomEvent("voice", { detail }));
    const { expression_names } = this.player.header.head;
    const speech = (this.speech = new SpokenPoses(url, expression_names.length, () => this.changed(), report));
    const advance = () => {
      if (this.speech !== speech) return;
      speech.advance();
      requestAnimationFrame(advance);
    };
    advance();
  }

  /** Plays the sound of the voice that is followed, or stops it; to be called by a click, as browsers demand. */
  async toggleSound() {
    await this.speech?.toggleSound();
  }

  /** Plays the motion that is packed with the avatar; of no effect without one. */
  play() {
    if (!this.motion) return;
    this.follow(null);
    this.motionTime ??= 0;
    this.isPlaying = true;
    this.last = undefined;
    this.changed();
  }

  /** Pauses the motion. */
  pause() {
    this.isPlaying = false;
  }

  /** Requests a new frame. */
  changed() {
    if (!this.player || this.isRequested) return;
    this.isRequested = true;
    requestAnimationFrame((now) => this.#tick(now));
  }

  /** Ends the worker and frees the memory of the avatar. */
  dispose() {
    this.follow(null);
    this.player?.dispose();
    this.player = this.motion = this.orbit = this.pinhole = null;
  }

  connectedCallback() {
    this.isStarted = true;
    if (this.player) this.changed();
    else this.#loadAttribute();
  }

  disconnectedCallback() {
    // An element that is only moved is connected again before this runs.
    queueMicrotask(() => {
      if (this.isConnected) return;
      this.turnOfLoad++;
      this.dispose();
    });
  }

  /** @param {string} name @param {string | null} old @param {string | null} source */
  attributeChangedCallback(name, old, source) {
    if (source !== old && this.isStarted && this.isConnected) this.#loadAttribute();
  }

  #loadAttribute() {
    const source = this.getAttribute("src");
    if (source) this.load(new URL(source, document.baseURI)).catch(() => {}); // the element shows and reports it
  }

  #prepare() {
    const root = this.shadowRoot ?? this.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    const canvas = document.createElement("canvas");
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "img");
    root.replaceChildren(canvas);
    return { root, canvas };
  }

  /** @param {Player} player */
  #show(player) {
    const { header, motion, canvas } = player;
    this.player = player;
    this.orbit = new Orbit(header);
    this.range = new TrainedRange(header);
    this.manual = new ManualPose(header, this.range);
    this.motion = header.motion && motion ? packedMotion(header.motion.name, motion) : null;
    this.pose = restingPose();
    this.motionTime = null;
    this.isPlaying = this.isRequested = false;
    const resolution = (this.resolution = new Resolution(canvas, () => this.changed()));
    canvas.setAttribute("aria-label", `${header.name}: drag or use the arrow keys to turn, scroll or pinch to come closer`);
    followGestures(canvas, this.orbit, () => this.changed());
    player.setBackground([0, 0, 0, 0]);
    player.onfailure = (text) => this.#fail(text);
    player.onframe = ({ poseTime, sortTime, camera, gaussians = null }) => {
      if (!camera.scene && !gaussians) resolution.measure(performance.now(), this.isPlaying || this.speech !== null);
      this.dispatchEvent(new CustomEvent("frame", { detail: { poseTime, sortTime, camera: camera.scene ?? null, gaussians } }));
    };
    this.changed();
    this.dispatchEvent(new CustomEvent("load"));
  }

  /** @param {number} now */
  #tick(now) {
    this.isRequested = false;
    const { player, orbit, range, manual, resolution, motion } = this;
    if (!player || !orbit || !range || !manual || !resolution) return;
    if (this.isPlaying && motion) {
      const { duration } = motion;
      this.motionTime = duration > 0 ? ((this.motionTime ?? 0) + (now - (this.last ?? now)) / 1000) % duration : 0;
      this.last = now;
    }
    const [width, height] = resolution.size(this.isPlaying || this.speech !== null);
    const shown = player.show(this.#params(motion, manual, range), this.pinhole ?? orbit.camera(width, height));
    if (this.isPlaying) shown.then(() => this.isPlaying && this.changed());
  }

  /** @param {PlayedMotion | null} motion @param {ManualPose} manual @param {TrainedRange} range @returns {HeadParams} */
  #params(motion, manual, range) {
    if (this.speech?.pose) return this.speech.pose;
    if (motion && this.motionTime !== null) return motion.paramsAt(this.motionTime);
    const target = manual.target(this.pose);
    return range.headParams(this.pose.limited ? range.limited(target) : target);
  }

  /** @param {string} text */
  #fail(text) {
    this.dispose();
    const { root } = this.#prepare();
    const sentence = document.createElement("p");
    sentence.setAttribute("role", "alert");
    sentence.textContent = text;
    root.replaceChildren(sentence);
    this.dispatchEvent(new CustomEvent("error", { detail: text }));
  }
}

/** Adds an avatar to a page. @param {Element} parent @param {string | URL | ArrayBuffer} source
 * @returns {Promise<HeadsplatAvatar>} the loaded element */
export async function loadAvatar(parent, source) {
  const element = /** @type {HeadsplatAvatar} */ (/** @type {unknown} */ (document.createElement("headsplat-avatar")));
  parent.append(element);
  return element.load(source);
}

/** The sliders of a face at rest. @returns {Sliders & {limited: boolean}} */
function restingPose() {
  return { weights: new Map(), gaze: [0, 0], turn: [0, 0, 0], limited: true };
}

if (!customElements.get("headsplat-avatar")) customElements.define("headsplat-avatar", HeadsplatAvatar);
