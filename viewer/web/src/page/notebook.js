/** The widget of notebooks: the element with sliders, in the state that viewer/web/notebook.py shares with it. */
import { messageOf } from "../container/error_message.js";
import { readRecording } from "../motions/motion_files.js";
import { retargetedMotion } from "../motions/motions.js";
import { HeadsplatAvatar } from "./element.js";
import { ExpressionSliders, HEAD_SLIDERS, slider } from "./expression_sliders.js";

/** The state, as anywidget gives it: bytes are DataViews.
 * @typedef {Object} WidgetModel
 * @property {(name: string) => any} get
 * @property {(name: string, value: unknown) => void} set
 * @property {() => void} save_changes
 * @property {(events: string, listener: () => void) => void} on
 * @property {(events: string, listener: () => void) => void} off */

/** Traits of each part of the sliders. */
const TRAITS = /** @type {const} */ ({ gaze: "gaze", turn: "head" });

class NotebookView {
  /** @param {WidgetModel} model @param {HTMLElement} root */
  constructor(model, root) {
    this.model = model;
    /** What shows the avatar, and the one that will once it has a frame. @type {HeadsplatAvatar | null} */
    this.element = null;
    /** @type {HeadsplatAvatar | null} */
    this.next = null;
    /** @type {ExpressionSliders | null} */
    this.sliders = null;
    this.isReceiving = false;
    root.classList.add("headsplat-widget");
    this.stage = child(root, "div", "headsplat-stage");
    this.panel = child(root, "div", "headsplat-panel");
    const line = child(root, "div", "headsplat-line");
    this.play = child(line, "button", "headsplat-play");
    this.play.type = "button";
    this.play.addEventListener("click", () => this.#send("playing", !model.get("playing")));
    this.progress = child(line, "progress", "headsplat-progress");
    this.status = child(line, "span", "headsplat-status");
    this.status.setAttribute("role", "status");
    this.search = child(this.panel, "input", "headsplat-search");
    Object.assign(this.search, { type: "search", placeholder: "Search expressions", ariaLabel: "Search expressions" });
    this.headRows = HEAD_SLIDERS.map((each) => this.#headSlider(...each));
    this.expressions = child(this.panel, "div", "headsplat-expressions");
    // Notebooks take cells out of the page that are scrolled out of sight; the element then frees its memory.
    this.observer = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting) && this.element && !this.element.player && !this.next) this.#load();
    });
    this.observer.observe(this.stage);
    /** @type {[string, () => void][]} */
    this.listeners = [
      ["change:_container", () => void this.#load()],
      ["change:_motion", () => void this.#readMotion()],
      ["change:weights change:gaze change:head change:limited", () => this.#receivePose()],
      ["change:playing", () => this.#showPlaying()],
      ["change:background", () => this.#showBackground()],
      ["change:width change:height change:panel", () => this.#showSize()],
      ["change:status change:progress", () => this.#showStatus()],
    ];
    for (const [events, listener] of this.listeners) model.on(events, listener);
    this.#showSize();
    this.#showStatus();
    this.#showPlaying();
    void this.#load();
  }

  /** Ends the widget and frees its memory. */
  dispose() {
    for (const [events, listener] of this.listeners) this.model.off(events, listener);
    this.observer.disconnect();
    this.stage.replaceChildren();
    for (const element of [this.element, this.next]) element?.dispose();
    this.element = this.next = null;
  }

  /** Shows the avatar of the model in place of the present one, which stays until the new one has a frame. */
  async #load() {
    const { model, stage } = this, bytes = bytesOf(model.get("_container"));
    this.next?.remove();
    this.next = null;
    if (!bytes.byteLength) return;
    // Each widget has a module of its own, and the first one has registered its class.
    const Registered = /** @type {typeof HeadsplatAvatar} */ (customElements.get("headsplat-avatar") ?? HeadsplatAvatar);
    const element = new Registered();
    const isCurrent = () => this.next === element;
    this.next = element;
    stage.append(element);
    const framed = new Promise((resolve) => element.addEventListener("frame", resolve, { once: true }));
    element.addEventListener("error", (event) => {
      if (isCurrent() || element === this.element) this.#send("error", /** @type {CustomEvent} */ (/** @type {Event} */ (event)).detail);
    });
    try {
      await element.load(bytes);
      if (!isCurrent()) return;
      this.#addSliders(element);
      if (this.element?.orbit) {
        const { yaw, pitch, zoom } = this.element.orbit;
        element.setCamera({ yaw, pitch, zoom });
      }
      this.#showBackground(element);
      this.#pose(element);
      await framed;
    } catch {
      // The element shows the sentence, and has reported it.
    }
    if (!isCurrent()) return;
    this.next = null;
    this.element?.remove();
    this.element = element;
    if (element.player) this.#send("error", "");
    await this.#readMotion();
  }

  /** Plays what Python has sent, or else the motion that is packed with the avatar. */
  async #readMotion() {
    const { element, model } = this, bytes = bytesOf(model.get("_motion"));
    if (element?.player && element.range && bytes.byteLength) {
      try {
        const recording = await readRecording(new File([bytes], model.get("_motion_name")));
        element.motion = retargetedMotion(recording, element.player.header, element.range);
        element.motionTime = null;
      } catch (error) {
        this.#send("error", messageOf(error));
      }
    }
    this.#showPlaying();
  }

  #showPlaying() {
    const { element, model, play } = this, isPlaying = Boolean(model.get("playing"));
    play.hidden = !element?.motion;
    play.textContent = isPlaying ? "Pause" : "Play";
    play.setAttribute("aria-pressed", String(isPlaying));
    if (!element) return;
    if (isPlaying) element.play();
    else element.pause();
  }

  /** A pose from Python: the sliders show it. */
  #receivePose() {
    this.isReceiving = true;
    this.sliders?.set(this.model.get("weights"));
    this.headRows.forEach(({ input, show }, k) => {
      const [, part, at] = HEAD_SLIDERS[k], value = this.model.get(TRAITS[part])[at];
      input.value = String(value);
      show(value);
    });
    this.isReceiving = false;
    this.#pose();
  }

  /** Poses the avatar by the traits, where no motion plays. */
  #pose(element = this.element) {
    const { model } = this;
    if (!element || model.get("playing")) return;
    const pose = { weights: model.get("weights"), gaze: model.get("gaze"), head: model.get("head") };
    element.setPose({ ...pose, limited: model.get("limited") });
  }

  /** A pose from a slider. @param {string} trait @param {unknown} value */
  #posed(trait, value) {
    if (this.isReceiving) return;
    if (this.model.get("playing")) this.model.set("playing", false);
    this.#send(trait, value);
    this.#pose();
  }

  /** @param {HeadsplatAvatar} element */
  #addSliders(element) {
    const { player, expressionNames } = element;
    const isSame = this.sliders && String([...this.sliders.inputs.keys()].sort()) === String([...expressionNames].sort());
    if (!player || isSame) return;
    this.expressions.replaceChildren();
    const sliders = new ExpressionSliders(this.expressions, this.search, player.header, () =>
      this.#posed("weights", Object.fromEntries(sliders.weights)),
    );
    this.sliders = sliders;
    this.#receivePose();
  }

  /** @param {typeof HEAD_SLIDERS[number]} entry */
  #headSlider(...[title, part, at, low, high, step]) {
    const made = slider(title, low, high, step, 0, (value) => {
      const trait = TRAITS[part];
      this.#posed(trait, this.model.get(trait).map((/** @type {number} */ old, /** @type {number} */ k) => (k === at ? value : old)));
    });
    made.input.dataset.head = title;
    this.panel.append(made.row);
    return made;
  }

  #showBackground(element = this.element) {
    const color = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/i.exec(this.model.get("background"));
    const [red, green, blue] = color ? color.slice(1).map((digits) => parseInt(digits, 16) / 255) : [0, 0, 0];
    element?.setBackground([red, green, blue, color ? 1 : 0]);
  }

  #showSize() {
    const { model, stage, panel } = this;
    stage.style.width = `${model.get("width")}px`;
    stage.style.height = panel.style.height = `${model.get("height")}px`;
    panel.hidden = !model.get("panel");
  }

  #showStatus() {
    const fraction = this.model.get("progress");
    this.status.textContent = this.model.get("status");
    this.progress.hidden = fraction === null;
    this.progress.value = fraction ?? 0;
  }

  /** @param {string} trait @param {unknown} value */
  #send(trait, value) {
    this.model.set(trait, value);
    this.model.save_changes();
  }
}

/** What anywidget calls with a model and an element to fill; the function that it returns ends that view.
 * @param {{model: WidgetModel, el: HTMLElement}} view */
export function showWidget({ model, el }) {
  const shown = new NotebookView(model, el.appendChild(document.createElement("div")));
  return () => shown.dispose();
}

/** @template {keyof HTMLElementTagNameMap} K @param {HTMLElement} parent @param {K} tag @param {string} className */
function child(parent, tag, className) {
  const made = document.createElement(tag);
  made.className = className;
  parent.append(made);
  return made;
}

/** @param {DataView | null} view @returns {ArrayBuffer} */
function bytesOf(view) {
  if (!view) return new ArrayBuffer(0);
  return /** @type {ArrayBuffer} */ (view.buffer).slice(view.byteOffset, view.byteOffset + view.byteLength);
}
