/** The page: connects the controls with the player. */
import { measurePage } from "./benchmark.js";
import { Camera } from "../face/camera.js";
import { recordVideo, savePicture } from "./capture.js";
import { ExpressionSliders, HEAD_SLIDERS, slider } from "./expression_sliders.js";
import { GAIN_GROUPS } from "../face/face_driver.js";
import { followGestures } from "./gestures.js";
import { messageOf } from "../container/error_message.js";
import { blockedBy, blockedSentence } from "../container/server_policy.js";
import { LivePoses } from "../motions/live.js";
import { SpokenPoses } from "../motions/spoken.js";
import { streamAddress } from "../motions/stream_address.js";
import { GAZE_DEGREES, ManualPose } from "./manual_pose.js";
import { OwnPresets } from "./own_presets.js";
import { HEARING_DELAY, Microphone } from "../motions/microphone.js";
import { readRecording } from "../motions/motion_files.js";
import { packedMotion, retargetedMotion } from "../motions/motions.js";
import { Orbit } from "./orbit.js";
import { bytesOf, cameraPackOf, checkOrigin, hasStyle, scriptOf } from "./page_files.js";
import { Playback } from "../motions/playback.js";
import { Player } from "./player.js";
import { Resolution } from "./resolution.js";
import { interpolatedParams, smoothstep } from "../face/presence.js";
import { TrainedRange } from "../avatar/trained_range.js";
/** @import { AvatarHeader } from "../container/avatar_container.js" */
/** @import { Figures } from "./benchmark.js" */
/** @import { HeadParams } from "../avatar/head.js" */
/** @import { PagePreset } from "./own_presets.js" */

const MESSAGE_SECONDS = 6;
const EASE_SECONDS = 0.2; // to a preset
const BOTH = "Your face moves the avatar, and your voice its mouth; image and sound stay in this page.";
/** What the address of the page may say about where the Gaussians are drawn. */
/** @type {Record<string, boolean>} */
const DRAWN_ON = { "#processor": true, "#card": false };
/** The elements of page.html by id; those of the camera only where it is packed.
 * @typedef {Object} PageElements
 * @property {HTMLElement} style
 * @property {HTMLElement} stage
 * @property {HTMLCanvasElement} view
 * @property {HTMLElement} failure
 * @property {HTMLElement} message
 * @property {HTMLElement} bar
 * @property {HTMLButtonElement} play
 * @property {HTMLInputElement} seek
 * @property {HTMLElement} motion-name
 * @property {HTMLVideoElement} preview
 * @property {HTMLElement} panel
 * @property {HTMLButtonElement} reset
 * @property {HTMLButtonElement} picture
 * @property {HTMLButtonElement} video
 * @property {HTMLButtonElement} microphone
 * @property {HTMLButtonElement} camera
 * @property {HTMLButtonElement} screen
 * @property {HTMLInputElement} file
 * @property {HTMLElement} live
 * @property {HTMLInputElement} follow
 * @property {HTMLElement} follow-label
 * @property {HTMLInputElement} mirror
 * @property {HTMLButtonElement} calibrate
 * @property {HTMLButtonElement} sound
 * @property {HTMLElement} live-state
 * @property {HTMLElement} gains
 * @property {HTMLInputElement} background
 * @property {HTMLInputElement} transparent
 * @property {HTMLElement} rate
 * @property {HTMLInputElement} limited
 * @property {HTMLElement} own
 * @property {HTMLElement} head
 * @property {HTMLInputElement} search
 * @property {HTMLElement} expressions
 * @property {HTMLElement} note
 * @property {HTMLElement} consent
 * @property {HTMLElement} provenance
 * @property {HTMLElement} worker
 * @property {HTMLElement} container
 * @property {HTMLElement | null} camera-worker
 * @property {HTMLElement | null} camera-pack */

/** @template {keyof PageElements} K @param {K} id @returns {PageElements[K]} */
function byId(id) {
  return /** @type {PageElements[K]} */ (/** @type {unknown} */ (document.getElementById(id)));
}

class App {
  /** @param {Player} player */
  constructor(player) {
    const { header, motion } = player;
    this.player = player;
    this.name = header.name;
    this.orbit = new Orbit(header);
    this.range = new TrainedRange(header);
    this.manual = new ManualPose(header, this.range);
    this.gaze = [0, 0];
    this.turn = [0, 0, 0];
    this.jaw = [0, 0];
    /** The pose before a preset, and the time in milliseconds since which it changes.
     * @type {{from: HeadParams, since: number} | null} */
    this.easing = null;
    /** Sets the sliders of head and gaze. @type {((value: number) => void)[]} */
    this.headSliders = [];
    this.resolution = new Resolution(byId("view"), () => this.changed());
    this.isChanged = true;
    this.sliders = new ExpressionSliders(byId("expressions"), byId("search"), header, () => this.#posed(), () => {
      this.ease();
      this.jaw = [0, 0];
    });
    const controls = { bar: byId("bar"), play: byId("play"), seek: byId("seek"), label: byId("motion-name") };
    this.playback = new Playback(controls, () => this.changed());
    this.#addHeadSliders();
    this.presets = new OwnPresets(byId("own"), header, {
      show: (preset) => this.show(preset),
      pose: () => ({ weights: this.sliders.weights, gaze: this.gaze, turn: this.turn, jaw: this.jaw }),
      say,
    });
    this.#connectTools();
    this.microphone = new Microphone(() => this.#showMicrophone(), say);
    /** Poses of the server of the page, where it has one. @type {LivePoses | SpokenPoses | undefined} */
    this.live = undefined;
    /** Where one is packed with the page. @type {Camera | undefined} */
    this.camera = undefined;
    /** While a video is recorded. @type {MediaRecorder | null} */
    this.recorder = null;
    /** Milliseconds of the first frame, and of those in the last second. @type {number | null} */
    this.firstFrame = null;
    /** @type {number[]} */
    this.frames = [];
    this.#connectMicrophone(header);
    this.#connectFiles();
    this.#connectLive(header);
    if (new URLSearchParams(location.search).has("alone")) this.#showAlone();
    this.#connectCamera(header);
    this.#describe(header);
    followGestures(player.canvas, this.orbit, () => this.changed());
    document.addEventListener("keydown", (event) => this.#onKey(event));
    player.onframe = () => this.#count();
    player.onfailure = (text) => {
      this.camera?.stop();
      this.microphone.stop();
      fail(text);
    };
    if (header.motion && motion) this.playback.load(packedMotion(header.motion.name, motion));
    requestAnimationFrame((now) => this.#tick(now));
  }

  /** Requests a new frame. */
  changed() {
    this.isChanged = true;
  }

  /** The parameters that the page shows now. */
  params() {
    const { motion, isShown, time } = this.playback;
    if (motion && isShown) return motion.paramsAt(time);
    const pose = this.isFollowing ? this.source?.pose : null;
    if (pose) return pose;
    const weights = this.microphone.over(this.sliders.weights);
    const target = this.manual.target({ weights, gaze: this.gaze, turn: this.turn, jaw: this.jaw });
    const params = this.range.headParams(byId("limited").checked ? this.range.limited(target) : target);
    if (!this.easing) return params;
    const seconds = (performance.now() - this.easing.since) / 1000;
    return interpolatedParams(this.easing.from, params, smoothstep(seconds / EASE_SECONDS));
  }

  /** Lets the pose change smoothly from the one that is shown now. */
  ease() {
    this.easing = { from: this.params(), since: performance.now() };
  }

  /** Shows a preset. @param {PagePreset} preset */
  show({ name, sliders, eyes = [0, 0], head = [0, 0, 0], jaw = [0, 0] }) {
    this.ease();
    this.jaw = [...jaw];
    const values = [eyes[0] / GAZE_DEGREES, -eyes[1] / GAZE_DEGREES, ...head];
    this.headSliders.forEach((set, k) => set(values[k]));
    this.sliders.set(sliders);
    const missing = Object.keys(sliders).filter((each) => !this.sliders.inputs.has(each));
    if (missing.length) say(`${name}: this avatar has no expression ${missing.join(", ")}.`);
  }

  /** What may pose the avatar live: the server of the page, or its camera while that is on. */
  get source() {
    return this.camera?.isOn ? this.camera : this.live;
  }

  /** Whether a live source poses the avatar. */
  get isFollowing() {
    return Boolean(this.source?.pose) && byId("follow").checked && !this.playback.isShown;
  }

  /** Figures of the speed of the page. @param {number} size pixels @param {number} frames
   * @returns {Promise<Figures>} */
  benchmark(size = 512, frames = 60) {
    return measurePage(this, size, frames);
  }

  get isMoving() {
    return this.playback.isPlaying || this.isFollowing || this.microphone.isListening;
  }

  /** @param {number} now */
  #tick(now) {
    requestAnimationFrame((next) => this.#tick(next));
    const isPlaying = this.playback.advance(now);
    if (this.live instanceof SpokenPoses) this.live.advance();
    if (this.microphone.isListening && (this.playback.isShown || (this.isFollowing && !this.camera?.isOn))) this.microphone.stop();
    const isHeard = this.microphone.advance(now);
    if (isHeard) this.camera?.listen(now / 1000 - HEARING_DELAY, this.microphone.hearing.weights);
    const isBlending = this.isFollowing && this.camera?.isBlending;
    if (this.easing) {
      if (performance.now() - this.easing.since > 1000 * EASE_SECONDS) this.easing = null;
      this.changed();
    }
    if (this.player.isBusy || !(isPlaying || isHeard || isBlending || this.isChanged)) return;
    this.isChanged = false;
    const [width, height] = this.resolution.size(this.isMoving);
    this.player.show(this.params(), this.orbit.camera(width, height));
  }

  #posed() {
    this.playback?.leave();
    byId("follow").checked = false;
    this.changed();
  }

  /** @param {AvatarHeader} header */
  #connectLive({ head }) {
    byId("mirror").addEventListener("input", () => {
      this.orbit.isMirrored = byId("mirror").checked;
      byId("stage").classList.toggle("mirrored", this.orbit.isMirrored);
    });
    byId("calibrate").addEventListener("click", () => this.source?.calibrate());
    byId("follow").addEventListener("input", () => {
      if (byId("follow").checked) this.playback.leave();
      this.changed();
    });
    if (!document.body.hasAttribute("data-live")) return;
    byId("live").hidden = false;
    const report = (/** @type {string} */ text) => (byId("live-state").textContent = text);
    const count = head.expression_names.length, moved = () => this.isFollowing && this.changed();
    if (document.body.dataset.live === "poses") this.live = new LivePoses(count, moved, report);
    else this.#connectSpeech(new SpokenPoses(streamAddress("watch"), count, moved, report));
  }

  /** Shows the avatar alone, on nothing: for programs that mix pictures, in which nobody presses a button. */
  #showAlone() {
    document.documentElement.classList.add("alone");
    byId("transparent").checked = true;
    byId("transparent").dispatchEvent(new Event("input"));
    if (this.live instanceof SpokenPoses) byId("sound").click();
  }

  /** @param {SpokenPoses} speech */
  #connectSpeech(speech) {
    this.live = speech;
    const button = byId("sound");
    byId("calibrate").hidden = true;
    byId("follow-label").textContent = "follow the voice";
    button.hidden = false;
    button.addEventListener("click", async () => {
      await speech.toggleSound();
      button.setAttribute("aria-pressed", String(Boolean(speech.context)));
      button.textContent = speech.context ? "Sound off" : "Sound on";
    });
  }

  /** @param {AvatarHeader} header */
  #connectCamera(header) {
    const pack = byId("camera-pack"), worker = byId("camera-worker"), button = byId("camera");
    if (!pack || !worker) return;
    button.hidden = false;
    const page = { video: byId("preview"), script: scriptOf(worker), pack: () => cameraPackOf(pack) };
    const camera = new Camera(page, header, this.range, {
      changed: () => this.#showCamera(camera.isOn),
      moved: () => this.isFollowing && this.changed(),
      state: (text) => (byId("live-state").textContent = text),
      say,
    });
    this.camera = camera;
    button.addEventListener("click", () => camera.toggle());
    for (const group of Object.keys(GAIN_GROUPS)) {
      const { row } = slider(group.replace(/^./, (letter) => letter.toUpperCase()), 0, 2, 0.05, 1, (factor) => {
        camera.gains[group] = factor;
      });
      byId("gains").append(row);
    }
  }

  /** @param {boolean} isOn */
  #showCamera(isOn) {
    byId("camera").setAttribute("aria-pressed", String(isOn));
    for (const id of /** @type {const} */ (["live", "preview", "gains"])) byId(id).hidden = !isOn;
    byId("follow-label").textContent = isOn ? "follow the camera" : "follow the live source";
    if (isOn) {
      this.playback.leave();
      byId("follow").checked = true;
      say(this.microphone.isListening ? BOTH : "Your face moves the avatar; the image stays in this page.");
    }
    this.changed();
  }

  /** @param {AvatarHeader} header */
  #connectMicrophone({ head }) {
    const button = byId("microphone");
    button.hidden = !head.expression_names.includes("jawOpen");
    button.addEventListener("click", () => this.microphone.toggle());
  }

  #showMicrophone() {
    const { isListening } = this.microphone;
    byId("microphone").setAttribute("aria-pressed", String(isListening));
    if (isListening && this.camera?.isOn && byId("follow").checked && !this.playback.isShown) say(BOTH);
    else if (isListening) {
      this.#posed();
      say("The mouth follows your voice; the sound stays in this page.");
    } else this.camera?.stopListening();
    this.changed();
  }

  #addHeadSliders() {
    for (const [title, part, at, low, high, step] of HEAD_SLIDERS) {
      const { row, input, show } = slider(title, low, high, step, 0, (value) => {
        this[part][at] = value;
        this.#posed();
      });
      this.headSliders.push((value) => {
        this[part][at] = value;
        input.value = String(value);
        show(value);
      });
      byId("head").append(row);
    }
  }

  #connectTools() {
    const { player } = this;
    const background = () => {
      const [red, green, blue] = [1, 3, 5].map((at) => parseInt(byId("background").value.slice(at, at + 2), 16) / 255);
      const transparent = byId("transparent").checked;
      player.canvas.classList.toggle("transparent", transparent);
      player.setBackground([red, green, blue, transparent ? 0 : 1]);
    };
    if (matchMedia("(prefers-color-scheme: dark)").matches) byId("background").value = "#15171b";
    background();
    byId("background").addEventListener("input", background);
    byId("transparent").addEventListener("input", background);
    byId("limited").addEventListener("input", () => this.changed());
    byId("reset").addEventListener("click", () => {
      this.orbit.reset();
      this.changed();
    });
    byId("picture").addEventListener("click", () => savePicture(player, this.name));
    byId("video").addEventListener("click", () => this.#toggleVideo());
    byId("screen").addEventListener("click", () => toggleFullScreen());
  }

  #toggleVideo() {
    if (this.recorder) this.recorder.stop();
    this.recorder = this.recorder ? null : recordVideo(this.player.canvas, this.name);
    this.resolution.isFixed = Boolean(this.recorder);
    byId("video").setAttribute("aria-pressed", String(Boolean(this.recorder)));
    byId("video").textContent = this.recorder ? "Stop recording" : "Record video";
    if (!this.recorder && !("MediaRecorder" in globalThis)) say("This browser cannot record video; use another one.");
  }

  #connectFiles() {
    byId("file").addEventListener("change", () => this.#open(byId("file").files?.[0]));
    document.addEventListener("dragover", (event) => {
      event.preventDefault();
      document.body.classList.add("dropping");
    });
    document.addEventListener("dragleave", () => document.body.classList.remove("dropping"));
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      document.body.classList.remove("dropping");
      this.#open(event.dataTransfer?.files[0]);
    });
  }

  /** Plays a motion file. @param {File | undefined} file */
  async #open(file) {
    if (!file) return;
    try {
      const recording = await readRecording(file);
      this.playback.load(retargetedMotion(recording, this.player.header, this.range));
    } catch (error) {
      say(messageOf(error));
    }
  }

  /** @param {AvatarHeader} header */
  #describe({ note, consent, provenance, head, generator }) {
    byId("note").textContent = note;
    byId("consent").textContent = `Consent: ${consent}`;
    const capture = provenance.capture?.name ?? "unknown";
    byId("provenance").textContent =
      `${generator}; capture ${capture}; head model ${head.name} (${head.license}); avatar ` +
      `${String(provenance.tensors_sha256 ?? "").slice(0, 12)}.`;
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const target = /** @type {Element} */ (event.target);
    if (target.matches("input:not([type=range]):not([type=checkbox])")) return;
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    /** @type {Record<string, () => void>} */
    const actions = {
      " ": () => this.playback.toggle(),
      p: () => savePicture(this.player, this.name),
      f: toggleFullScreen,
      n: () => {
        this.jaw = [0, 0];
        this.sliders.set({});
      },
      c: () => this.source?.calibrate(),
      w: () => this.camera?.toggle(),
      m: () => byId("microphone").hidden || this.microphone.toggle(),
      "/": () => byId("search").focus(),
    };
    if (/^[1-9]$/.test(event.key) && this.presets.press(event.key)) event.preventDefault();
    const isPressed = event.key === " " && target.matches("button, summary, input");
    if (!actions[event.key] || isPressed) return;
    event.preventDefault();
    actions[event.key]();
  }

  /** Frames per second over the last second. */
  #count() {
    const now = performance.now();
    this.firstFrame ??= now;
    this.frames = [...this.frames, now].filter((time) => time > now - 1000);
    // While a live source is followed, a newer pose that waits shows that drawing is what takes the time.
    this.resolution.measure(now, this.isMoving && (!this.isFollowing || this.isChanged));
    byId("rate").textContent = this.isMoving ? `${this.frames.length} fps` : "";
  }
}

function toggleFullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else byId("stage").requestFullscreen?.();
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let messageTimer;

/** Shows a sentence for a few seconds. @param {string} text */
function say(text) {
  byId("message").textContent = text;
  clearTimeout(messageTimer);
  messageTimer = setTimeout(() => (byId("message").textContent = ""), 1000 * MESSAGE_SECONDS);
}

/** Shows a sentence in place of the avatar. @param {string} text */
function fail(text) {
  byId("failure").textContent = text;
  byId("failure").hidden = false;
}

async function start() {
  if (!hasStyle(byId("style"))) return null; // the sentence at the end of page.html stays
  document.body.classList.add("running");
  for (const id of /** @type {const} */ (["stage", "panel"])) byId(id).hidden = false;
  try {
    checkOrigin(byId("container"));
    const buffer = await bytesOf(byId("container"));
    const player = await Player.load(byId("view"), scriptOf(byId("worker")), buffer, DRAWN_ON[location.hash]);
    return new App(player);
  } catch (error) {
    byId("panel").hidden = true; // its buttons would do nothing
    const directive = await blockedBy();
    fail(directive ? blockedSentence(directive, "a part of this page") : messageOf(error));
    return null;
  }
}

/** For scripts on the page: `await headsplat` has `player`, `orbit`, `sliders`, `presets`, `playback`, `microphone`, `camera`,
 * `benchmark`. */
globalThis.headsplat = start();
