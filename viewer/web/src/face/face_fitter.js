/** Head parameters of a driver from landmarks: identity from the first seconds, then pose and expression of each frame.
 *
 * The same computations as `headsplat live --webcam` (capture/live), see docs/guides/live.md. */
import { focalPrior } from "./focal_prior.js";
import { HiddenRegions } from "./hidden_regions.js";
import { KnownFace, MAX_ERROR } from "./known_face.js";
import { LANDMARK_COUNT } from "./landmark_model.js";
import { fitPerson } from "./person_fit.js";
/** @import { FaceFit } from "./known_face.js" */
/** @import { LandmarkModel } from "./landmark_model.js" */

/** Width in pixels below which landmarks show no face. */
const SMALLEST_FACE = 1;

/** Head parameters of one frame, in the expressions of the whole head.
 * @typedef {Object} FaceSample
 * @property {number[]} expression [E] weights
 * @property {number[]} jointRot [15] axis-angle, radians: root (the head), neck, jaw, left and right eye (the gaze)
 * @property {number[]} translation [3] of the neck, meters, from the camera
 * @property {number} error reprojection, fraction of the inter-ocular distance
 * @property {number} confidence 0..1, as of capture/live/fit.py with a network that is sure of the face
 * @property {number} seconds time of the frame
 * @property {string[]} hidden regions behind a hand or another thing: "eyes", "mouth" */

/** Fits the head model to landmarks of a camera; slow only in the call that has learned the identity. */
export class FaceFitter {
  #model;
  #size;
  /** @type {{points: Float32Array, seconds: number}[]} frames that are collected */
  #frames = [];
  /** @type {KnownFace | null} */
  #face = null;
  /** @type {FaceFit | null} */
  #fit = null;
  #regions;

  /** @param {LandmarkModel} model
   * @param {number} width pixels of the camera's image @param {number} height */
  constructor(model, width, height) {
    this.#model = model;
    this.#size = [width, height];
    this.#regions = new HiddenRegions(model);
    /** Samples of the frames that identity was learned from. @type {FaceSample[]} */
    this.earlier = [];
  }

  /** Names [E] of all expressions of the head. */
  get expressionNames() {
    return this.#model.names;
  }

  /** 0..1, how much of the frames that the identity fit needs is collected. */
  get progress() {
    if (this.#face) return 1;
    if (this.#frames.length < 2) return 0;
    const { seconds, min_frames: least } = this.#model.options.learn;
    const span = this.#frames[this.#frames.length - 1].seconds - this.#frames[0].seconds;
    return Math.max(Math.min(span / seconds, this.#frames.length / least, 1), 0);
  }

  /** Discards the identity: another person is in front of the camera. */
  restart() {
    this.#frames = [];
    this.#face = this.#fit = null;
    this.#regions = new HiddenRegions(this.#model);
    this.earlier = [];
  }

  /** Fits one frame.
   * @param {Float32Array | null} points [478,3] pixels, x right, y down, z in the scale of x, farther is larger; null:
   *   no face is in the image
   * @param {number} seconds time of the frame
   * @param {Float32Array | null} light [468,3] linear light 0..1 around the landmarks; null where it is not known
   * @returns {FaceSample | null} null without a face, while the identity is learned, and where the fit failed */
  add(points, seconds, light = null) {
    if (!points || !this.#showsFace(points)) {
      this.#fit = null;
      return null;
    }
    const hidden = light ? this.#regions.update(light, points, seconds) : [];
    const face = this.#face;
    if (!face) {
      if (!hidden.length) this.#learn(points, seconds);
      return null;
    }
    const visible = this.#visible(points, hidden);
    const fit = this.#accepted(face, visible, this.#fit);
    // The fit may have drifted, or the face may be another one: start again, once.
    this.#fit = !fit && this.#fit ? this.#accepted(face, visible, null) : fit;
    return this.#fit && this.#sample(face, this.#fit, seconds, hidden);
  }

  /** @param {Float32Array} points */
  #showsFace(points) {
    const across = points.filter((value, k) => k % 3 === 0 && Number.isFinite(value));
    return points.length === 3 * LANDMARK_COUNT && Math.max(...across) - Math.min(...across) >= SMALLEST_FACE;
  }

  /** @param {KnownFace} face @param {Float32Array} points @param {FaceFit | null} previous */
  #accepted(face, points, previous) {
    const fit = face.fit(points, previous);
    return fit && fit.error <= MAX_ERROR ? fit : null;
  }

  /** Landmarks without those of hidden regions. @param {Float32Array} points @param {string[]} hidden */
  #visible(points, hidden) {
    if (!hidden.length) return points;
    const visible = points.slice();
    for (const region of hidden)
      for (const k of this.#model.groups[`hideable_${region}`]) visible.fill(NaN, 3 * k, 3 * k + 3);
    return visible;
  }

  /** @param {KnownFace} face @param {FaceFit} fit @param {number} seconds @param {string[]} hidden
   * @returns {FaceSample} */
  #sample(face, fit, seconds, hidden) {
    const confidence = 1 / (1 + (fit.error / MAX_ERROR) ** 2);
    return { ...face.parameters(fit), error: fit.error, confidence, seconds, hidden };
  }

  /** Collects frames until there are enough, then fits the person; frames that show none are discarded.
   * @param {Float32Array} points @param {number} seconds */
  #learn(points, seconds) {
    this.#frames.push({ points: points.slice(), seconds });
    if (this.progress < 1) return;
    const frames = this.#frames, [width, height] = this.#size;
    const prior = focalPrior(width, height);
    const camera = { focal: prior.focal, cx: width / 2, cy: height / 2 };
    const person = fitPerson(this.#model, frames.map((frame) => frame.points), camera, prior);
    this.#frames = [];
    if (!person) return;
    const face = (this.#face = new KnownFace(person));
    /** @type {FaceFit | null} */
    let fit = null;
    for (const frame of frames) {
      fit = face.fit(frame.points, fit);
      if (fit && fit.error <= MAX_ERROR) this.earlier.push(this.#sample(face, fit, frame.seconds, []));
    }
    if (!this.earlier.length) this.#face = null;
  }
}
