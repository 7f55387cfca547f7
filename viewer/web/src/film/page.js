/** The page of `headsplat film --web`: the camera, and what the server says about the recording. */
import { cameraSentence, openCamera } from "../face/refusal.js";
import { drawRing } from "./ring.js";
import { Sender } from "./sender.js";

const CAMERA = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 }, facingMode: "user" };
const ASKING = "Allow the camera in the dialog of the browser.";
const GONE = "headsplat does not run any more; its terminal says why.";
const LOST = "The camera is gone; connect it and try again.";
/** Commands by what `keys` calls their keys. @type {Record<string, string>} */
const COMMANDS = { space: "pause", S: "skip", R: "repeat", Q: "quit" };
/** The same by the events of keys. @type {Record<string, string>} */
const PRESSED = { " ": "pause", s: "skip", r: "repeat", q: "quit", Escape: "quit" };

/** What is shown, see `viewer/session/film_view.py`.
 * @typedef {Object} View
 * @property {boolean} recording
 * @property {string} words
 * @property {string} warning
 * @property {[string, number, string][]} items title, share, status
 * @property {number[]} ring
 * @property {[number, number] | null} pointing
 * @property {number} share
 * @property {string} note
 * @property {string} keys
 * @property {"filming" | "working" | "ready"} phase
 * @property {boolean} over */

/** @template {Element} [T=HTMLElement] @param {string} id @returns {T} */
const find = (id) => /** @type {T} */ (/** @type {unknown} */ (document.getElementById(id)));

class FilmPage {
  constructor() {
    this.video = /** @type {HTMLVideoElement} */ (find("video"));
    /** @type {MediaStream | null} */
    this.stream = null;
    this.isAsking = false;
    this.hasFilmed = false;
    /** Why the camera is off; empty: nothing is wrong. */
    this.problem = "";
    /** @type {View | null} */
    this.view = null;
    this.shown = "";
    this.sender = new Sender(
      this.video, find("encoder").textContent ?? "", (message) => this.#send(message), (sentence) => this.#close(sentence),
    );
    this.socket = this.#connect();
    find("open").onclick = () => this.open();
    addEventListener("keydown", (event) => this.#press(event));
  }

  /** Asks for the camera and films with it. */
  async open() {
    if (this.stream || this.isAsking) return;
    this.isAsking = true;
    this.problem = ASKING;
    this.#show();
    try {
      this.#film(await openCamera(CAMERA));
    } catch (error) {
      this.problem = cameraSentence(error);
    }
    this.isAsking = false;
    this.#show();
  }

  /** @param {MediaStream} stream */
  #film(stream) {
    this.problem = "";
    if (this.view?.phase !== "filming" || this.view.over) return stream.getTracks().forEach((track) => track.stop());
    this.stream = stream;
    stream.getVideoTracks()[0].onended = () => this.#close(LOST);
    this.video.srcObject = stream;
    this.video.play();
    this.hasFilmed = true;
    this.sender.start();
  }

  /** Switches the camera off; its last image stays. @param {string} [problem] */
  #close(problem = "") {
    this.sender.stop();
    this.video.pause();
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = null;
    this.problem = problem;
    this.#show();
  }

  #connect() {
    const address = new URL("film", location.href);
    address.protocol = "ws:";
    address.search = location.search;
    address.hash = "";
    const socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ reason }) => {
      if (this.view?.over) return;
      const words = reason ? `${reason[0].toUpperCase()}${reason.slice(1)}.` : GONE;
      this.view = { ...EMPTY, words, over: true };
      this.#close();
    };
    return socket;
  }

  /** Whether it could be sent. @param {string | ArrayBuffer} message */
  #send(message) {
    const isOpen = this.socket.readyState === WebSocket.OPEN;
    if (isOpen) this.socket.send(message);
    return isOpen;
  }

  /** @param {string | ArrayBuffer} data */
  #receive(data) {
    if (typeof data !== "string") return this.#showAvatar(data);
    const message = JSON.parse(data);
    if ("taken" in message) return this.sender.take(message.taken);
    this.view = /** @type {View} */ (message);
    if ((this.view.phase !== "filming" || this.view.over) && this.stream) this.#close();
    else this.#show();
  }

  /** @param {ArrayBuffer} file */
  #showAvatar(file) {
    const image = /** @type {HTMLImageElement} */ (find("avatar"));
    if (image.src) URL.revokeObjectURL(image.src);
    image.src = URL.createObjectURL(new Blob([file], { type: "image/jpeg" }));
    find("preview").hidden = false;
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    const command = PRESSED[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!command || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " " && event.target instanceof HTMLButtonElement) return; // which it presses
    event.preventDefault();
    if (!this.view?.over) this.#send(command);
  }

  #show() {
    const { view } = this;
    if (!view) return;
    const isOff = view.phase === "filming" && !view.over && !this.stream;
    const shown = JSON.stringify([view, isOff, this.problem, this.isAsking]);
    if (shown === this.shown) return;
    this.shown = shown;
    document.body.dataset.phase = view.over ? "over" : view.phase;
    find("start").hidden = !isOff;
    find("open").hidden = this.isAsking;
    find("open").textContent = this.problem ? "Try again" : "Start the camera";
    find("problem").textContent = this.problem;
    find("consent").textContent = this.hasFilmed || this.problem ? "" : view.note;
    find("mark").hidden = !view.recording || !this.stream;
    find("warning").textContent = view.warning;
    find("words").textContent = view.words;
    find("bar").hidden = view.over && !view.share;
    find("share").style.width = `${100 * view.share}%`;
    find("note").textContent = isOff ? "" : view.note;
    find("shown").hidden = !view.ring.length;
    if (view.ring.length) drawRing(find("ring"), view.ring, view.pointing);
    find("items").replaceChildren(...view.items.map(itemOf));
    this.#showKeys(view.keys);
  }

  /** A button for each key. @param {string} keys */
  #showKeys(keys) {
    if (find("keys").dataset.keys === keys) return;
    find("keys").dataset.keys = keys;
    const buttons = keys.split(/ {2,}/).filter(Boolean).map((text) => {
      const [key, effect] = text.split(": ");
      const button = document.createElement("button");
      const name = document.createElement("kbd");
      name.textContent = key;
      button.append(name, effect);
      button.type = "button";
      button.onclick = () => this.#send(COMMANDS[key]);
      return button;
    });
    find("keys").replaceChildren(...buttons);
  }
}

/** @type {View} */
const EMPTY = {
  recording: false, words: "", warning: "", items: [], ring: [], pointing: null, share: 0, note: "", keys: "", phase: "filming",
  over: false,
};

/** @param {[string, number, string]} item */
function itemOf([title, share, status]) {
  const item = document.createElement("li");
  item.textContent = title;
  item.className = status;
  item.style.setProperty("--part", `${100 * share}%`);
  return item;
}

Object.assign(globalThis, { film: new FilmPage() });
