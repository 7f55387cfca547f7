/** The page: connects the controls with the player. */
import { measurePage } from "./benchmark.js";
import { Camera } from "../face/camera.js";
import { recordVideo, savePicture } from "./capture.js";
import { ExpressionSliders, slider } from "./expression_sliders.js";
import { GAIN_GROUPS } from "../face/face_driver.js";
import { followGestures } from "./gestures.js";
import { LivePoses } from "../motions/live.js";
import { ManualPose } from "./manual_pose.js";
import { Microphone } from "../motions/microphone.js";
import { readRecording } from "../motions/motion_files.js";
import { packedMotion, retargetedMotion } from "../motions/motions.js";
import { Orbit } from "./orbit.js";
import { Playback } from "../motions/playback.js";
import { Player } from "./player.js";
import { Resolution } from "./resolution.js";
import { TrainedRange } from "../avatar/trained_range.js";

const MESSAGE_SECONDS = 6;
/** What the address of the page may say about where the Gaussians are drawn. */
const DRAWN_ON = { "#processor": true, "#card": false };
const byId = (id) => document.getElementById(id);

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
    this.resolution = new Resolution(byId("view"), () => this.changed());
    this.isChanged = true;
    this.sliders = new ExpressionSliders(byId("expressions"), byId("search"), header, () => this.#posed());
    const controls = { bar: byId("bar"), play: byId("play"), seek: byId("seek"), label: byId("motion-name") };
    this.playback = new Playback(controls, () => this.changed());
    this.#addHeadSliders();
    this.#connectTools();
    this.#connectMicrophone(header);
    this.#connectFiles();
    this.#connectLive(header);
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
    if (motion) this.playback.load(packedMotion(header.motion.name, motion));
    requestAnimationFrame((now) => this.#tick(now));
  }

  /** Requests a new frame. */
  changed() {
    this.isChanged = true;
  }

  /** The parameters that the page shows now. */
  params() {
    if (this.playback.isShown) return this.playback.motion.paramsAt(this.playback.time);
    if (this.isFollowing) return this.source.pose;
    const weights = this.microphone.over(this.sliders.weights);
    const target = this.manual.target({ weights, gaze: this.gaze, turn: this.turn });
    return this.range.headParams(byId("limited").checked ? this.range.limited(target) : target);
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
   * @returns {Promise<import("./benchmark.js").Figures>} */
  benchmark(size = 512, frames = 60) {
    return measurePage(this, size, frames);
  }

  get isMoving() {
    return this.playback.isPlaying || this.isFollowing || this.microphone.isListening;
  }

  #tick(now) {
    requestAnimationFrame((next) => this.#tick(next));
    const isPlaying = this.playback.advance(now);
    if (this.microphone.isListening && (this.playback.isShown || this.isFollowing)) this.microphone.stop();
    const isHeard = this.microphone.advance(now);
    const isBlending = this.isFollowing && this.camera?.isBlending;
    if (this.player.isBusy || !(isPlaying || isHeard || isBlending || this.isChanged)) return;
    this.isChanged = false;
    this.player.show(this.params(), this.orbit.camera(...this.resolution.size(this.isMoving)));
  }

  #posed() {
    this.playback?.leave();
    byId("follow").checked = false;
    this.changed();
  }

  #connectLive({ head }) {
    byId("mirror").addEventListener("input", ({ target }) => {
      this.orbit.isMirrored = target.checked;
      byId("stage").classList.toggle("mirrored", target.checked);
    });
    byId("calibrate").addEventListener("click", () => this.source?.calibrate());
    byId("follow").addEventListener("input", () => {
      if (byId("follow").checked) this.playback.leave();
      this.changed();
    });
    if (!document.body.hasAttribute("data-live")) return;
    byId("live").hidden = false;
    const report = (text) => (byId("live-state").textContent = text);
    this.live = new LivePoses(head.expression_names.length, () => this.isFollowing && this.changed(), report);
  }

  #connectCamera(header) {
    const pack = byId("camera-pack"), button = byId("camera");
    if (!pack) return;
    button.hidden = false;
    const page = {
      video: byId("preview"), workerSource: byId("camera-worker").textContent,
      bytes: () => new Uint8Array(bytesOf(pack.textContent)),
    };
    this.camera = new Camera(page, header, this.range, {
      changed: () => this.#showCamera(),
      moved: () => this.isFollowing && this.changed(),
      state: (text) => (byId("live-state").textContent = text),
      say,
    });
    button.addEventListener("click", () => this.camera.toggle());
    for (const group of Object.keys(GAIN_GROUPS)) {
      const { row } = slider(group.replace(/^./, (letter) => letter.toUpperCase()), 0, 2, 0.05, 1, (factor) => {
        this.camera.gains[group] = factor;
      });
      byId("gains").append(row);
    }
  }

  #showCamera() {
    const { isOn } = this.camera;
    byId("camera").setAttribute("aria-pressed", String(isOn));
    for (const id of ["live", "preview", "gains"]) byId(id).hidden = !isOn;
    byId("follow-label").textContent = isOn ? "follow the camera" : "follow the live source";
    if (isOn) {
      this.playback.leave();
      byId("follow").checked = true;
      say("Your face moves the avatar; the image stays in this page.");
    }
    this.changed();
  }

  #connectMicrophone({ head }) {
    const button = byId("microphone");
    button.hidden = !head.expression_names.includes("jawOpen");
    this.microphone = new Microphone(() => {
      button.setAttribute("aria-pressed", String(this.microphone.isListening));
      if (this.microphone.isListening) {
        this.#posed();
        say("The mouth follows your voice; the sound stays in this page.");
      }
      this.changed();
    }, say);
    button.addEventListener("click", () => this.microphone.toggle());
  }

  #addHeadSliders() {
    const rows = [
      ["Look left", -1, 1, 0.01, (value) => (this.gaze[0] = value)],
      ["Look up", -1, 1, 0.01, (value) => (this.gaze[1] = value)],
      ["Turn head", -40, 40, 1, (value) => (this.turn[0] = value)],
      ["Nod", -30, 30, 1, (value) => (this.turn[1] = value)],
      ["Tilt", -30, 30, 1, (value) => (this.turn[2] = value)],
    ];
    for (const [title, low, high, step, set] of rows) {
      const { row } = slider(title, low, high, step, 0, (value) => {
        set(value);
        this.#posed();
      });
      byId("head").append(row);
    }
  }

  #connectTools() {
    const { player } = this;
    const background = () => {
      const channels = [1, 3, 5].map((at) => parseInt(byId("background").value.slice(at, at + 2), 16) / 255);
      const transparent = byId("transparent").checked;
      player.canvas.classList.toggle("transparent", transparent);
      player.setBackground([...channels, transparent ? 0 : 1]);
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
    byId("file").addEventListener("change", ({ target }) => this.#open(target.files[0]));
    document.addEventListener("dragover", (event) => {
      event.preventDefault();
      document.body.classList.add("dropping");
    });
    document.addEventListener("dragleave", () => document.body.classList.remove("dropping"));
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      document.body.classList.remove("dropping");
      this.#open(event.dataTransfer.files[0]);
    });
  }

  /** Plays a motion file. @param {File | undefined} file */
  async #open(file) {
    if (!file) return;
    try {
      const recording = await readRecording(file);
      this.playback.load(retargetedMotion(recording, this.player.header, this.range));
    } catch (error) {
      say(error.message);
    }
  }

  #describe({ note, consent, provenance, head, generator }) {
    byId("note").textContent = note;
    byId("consent").textContent = `Consent: ${consent}`;
    const capture = provenance.capture?.name ?? "unknown";
    byId("provenance").textContent =
      `${generator}; capture ${capture}; head model ${head.name} (${head.license}); avatar ` +
      `${String(provenance.tensors_sha256 ?? "").slice(0, 12)}.`;
  }

  #onKey(event) {
    if (event.target.matches("input:not([type=range]):not([type=checkbox])")) return;
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    const actions = {
      " ": () => this.playback.toggle(),
      p: () => savePicture(this.player, this.name),
      f: toggleFullScreen,
      n: () => this.sliders.set({}),
      c: () => this.source?.calibrate(),
      w: () => this.camera?.toggle(),
      m: () => byId("microphone").hidden || this.microphone.toggle(),
      "/": () => byId("search").focus(),
    };
    const isPressed = event.key === " " && event.target.matches("button, summary, input");
    if (!actions[event.key] || isPressed) return;
    event.preventDefault();
    actions[event.key]();
  }

  /** Frames per second over the last second. */
  #count() {
    const now = performance.now();
    this.firstFrame ??= now;
    this.frames = [...(this.frames ?? []), now].filter((time) => time > now - 1000);
    // While a live source is followed, a newer pose that waits shows that drawing is what takes the time.
    this.resolution.measure(now, this.isMoving && (!this.isFollowing || this.isChanged));
    byId("rate").textContent = this.isMoving ? `${this.frames.length} fps` : "";
  }
}

function toggleFullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else byId("stage").requestFullscreen?.();
}

let messageTimer;

/** Shows a sentence for a few seconds. */
function say(text) {
  byId("message").textContent = text;
  clearTimeout(messageTimer);
  messageTimer = setTimeout(() => (byId("message").textContent = ""), 1000 * MESSAGE_SECONDS);
}

/** Shows a sentence in place of the avatar. */
function fail(text) {
  byId("failure").textContent = text;
  byId("failure").hidden = false;
}

/** Bytes of base64 text. */
function bytesOf(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let k = 0; k < binary.length; k++) bytes[k] = binary.charCodeAt(k);
  return bytes.buffer;
}

async function start() {
  try {
    const buffer = bytesOf(byId("container").textContent);
    const player = await Player.load(byId("view"), byId("worker").textContent, buffer, DRAWN_ON[location.hash]);
    return new App(player);
  } catch (error) {
    byId("panel").hidden = true; // its buttons would do nothing
    fail(error instanceof DOMException ? "The avatar is damaged; export or download it again." : error.message);
    return null;
  }
}

/** For scripts on the page: `await headsplat` has `player`, `orbit`, `sliders`, `playback`, `microphone`, `camera`,
 * `benchmark`. */
globalThis.headsplat = start();
