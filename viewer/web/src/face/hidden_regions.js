/** Whether a hand, a mug or a phone is before the eyes or the mouth of a face, by what its other frames show. As
 * capture/quality/hidden_regions.py. */
import { quantile } from "./key_frames.js";
import { FACE_COUNT } from "./landmark_model.js";
/** @import { LandmarkModel } from "./landmark_model.js" */

/** Light relative to the face's that reflections and codecs leave unknown; weight of the differences in color. */
const FLOOR = 0.05;
/** @type {Object<string, number>} */
const COLOR = { eyes: 2, mouth: 3 };
/** Light of the face (linear, 0..1) under which patterns are those of the codec. */
const DARK = 0.01;
/** Correlation below which a region is hidden, and above which it is visible again; consecutive frames that decide. */
const HIDDEN = 0.48, VISIBLE = 0.54, FRAMES = 2;
/** Frames and seconds from which a person's pattern is known; seconds over which it adapts. */
const LEARN_FRAMES = 10, LEARN_SECONDS = 1, ADAPT_SECONDS = 10;
/** Seconds after which what seems to hide a region is a second look of the person's. */
const SECOND_LOOK = 10;
/** Tip of the nose, outlines of the cheeks; difference of their distances, over the width of the face, from which on the
 * face is turned: only the landmarks of its near side count. */
const NOSE = 1, RIGHT_CHEEK = 234, LEFT_CHEEK = 454, TURNED = 0.2;
/** Luminance of linear sRGB. */
const RED = 0.2126, GREEN = 0.7152, BLUE = 0.0722;

/** What a frame shows of a region: log brightness, red over green, green over blue, of each landmark, and which of the
 * landmarks are on the near side.
 * @typedef {{colors: number[][], near: boolean[]}} Pattern */

/** The hidden ones of the regions of a face, frame by frame. */
export class HiddenRegions {
  /** @type {{name: string, places: number[], state: Region}[]} */
  #regions;
  #corners;

  /** @param {LandmarkModel} model */
  constructor({ groups }) {
    const changing = new Set(groups.changing);
    this.#regions = ["eyes", "mouth"].map((name) => ({
      name, state: new Region(),
      places: groups[`hideable_${name}`].filter((place) => place < FACE_COUNT && !changing.has(place)).sort((a, b) => a - b),
    }));
    this.#corners = groups.eye_corners;
  }

  /** The names of the regions that are hidden in a frame.
   * @param {Float32Array} light [468,3] linear light 0..1 around the landmarks
   * @param {Float32Array} points [478,3] pixels @param {number} seconds time of the frame @returns {string[]} */
  update(light, points, seconds) {
    const luminance = Array.from({ length: FACE_COUNT }, (_, k) => luminanceOf(light, k, 1));
    const typical = quantile(luminance, 0.5);
    if (!(typical > DARK)) return [];
    const along = this.#alongEyes(points);
    const right = -along(RIGHT_CHEEK), left = along(LEFT_CHEEK);
    const turn = (right - left) / Math.max(Math.abs(right + left), 1e-9);
    const isNear = (/** @type {number} */ place) => Math.abs(turn) < TURNED || along(place) * turn <= 0;
    return this.#regions.flatMap(({ name, places, state }) => {
      if (!places.length) return [];
      const pattern = { colors: colorsOf(light, places, typical, COLOR[name]), near: places.map(isNear) };
      return state.update(pattern, seconds) ? [name] : [];
    });
  }

  /** Place of a landmark along the line of the eyes, from the tip of the nose; to the image's right for an upright face.
   * @param {Float32Array} points @returns {(place: number) => number} */
  #alongEyes(points) {
    const [right, left] = this.#corners;
    const x = points[3 * left] - points[3 * right], y = points[3 * left + 1] - points[3 * right + 1];
    return (place) => x * (points[3 * place] - points[3 * NOSE]) + y * (points[3 * place + 1] - points[3 * NOSE + 1]);
  }
}

/** What is known of one region. */
class Region {
  /** @type {number[][] | null} */
  #reference = null;
  /** @type {number[][] | null} */
  #second = null;
  #frames = 0;
  #began = 0;
  #last = 0;
  #isHidden = false;
  #opposing = 0;
  #hiddenSince = 0;
  /** Mean of the frames since then. @type {number[][] | null} */
  #hiddenMean = null;
  #hiddenFrames = 0;

  /** Whether the region is hidden. @param {Pattern} seen @param {number} seconds */
  update(seen, seconds) {
    const reference = this.#reference;
    if (!reference || this.#frames < LEARN_FRAMES || seconds - this.#began < LEARN_SECONDS) {
      this.#learn(seen.colors, seconds);
      return false;
    }
    const first = likeness(seen, reference), other = this.#second ? likeness(seen, this.#second) : -1;
    const best = Math.max(first, other);
    this.#opposing = (this.#isHidden ? best > VISIBLE : best < HIDDEN) ? this.#opposing + 1 : 0;
    if (this.#opposing >= FRAMES) {
      this.#isHidden = !this.#isHidden;
      this.#opposing = this.#hiddenFrames = 0;
      this.#hiddenSince = seconds;
      this.#hiddenMean = null;
    }
    if (this.#isHidden) this.#watchHidden(seen.colors, seconds);
    else if (best > VISIBLE) {
      const amount = Math.min((seconds - this.#last) / ADAPT_SECONDS, 0.1);
      if (first >= other) this.#reference = mixed(reference, seen.colors, amount);
      else if (this.#second) this.#second = mixed(this.#second, seen.colors, amount);
    }
    this.#last = seconds;
    return this.#isHidden;
  }

  /** @param {number[][]} colors @param {number} seconds */
  #learn(colors, seconds) {
    if (!this.#reference) this.#began = seconds;
    this.#reference = mixed(this.#reference ?? colors, colors, 1 / ++this.#frames);
    this.#last = seconds;
  }

  /** @param {number[][]} colors @param {number} seconds */
  #watchHidden(colors, seconds) {
    this.#hiddenMean = mixed(this.#hiddenMean ?? colors, colors, 1 / ++this.#hiddenFrames);
    if (seconds - this.#hiddenSince <= SECOND_LOOK) return;
    this.#second = this.#hiddenMean;
    this.#isHidden = false;
  }
}

/** @param {Float32Array} light @param {number} place @param {number} typical */
function luminanceOf(light, place, typical) {
  return (RED * light[3 * place] + GREEN * light[3 * place + 1] + BLUE * light[3 * place + 2]) / typical;
}

/** @param {Float32Array} light @param {number[]} places @param {number} typical @param {number} weight of the colors */
function colorsOf(light, places, typical, weight) {
  const logs = [0, 1, 2].map((c) => places.map((place) => Math.log(light[3 * place + c] / typical + FLOOR)));
  return [
    places.map((place) => Math.log(luminanceOf(light, place, typical) + FLOOR)),
    ...[0, 1].map((c) => places.map((_, k) => weight * (logs[c][k] - logs[c + 1][k]))),
  ];
}

/** Correlation with a reference, of all landmarks, or of those on the near side if that is larger.
 * @param {Pattern} pattern @param {number[][]} reference */
function likeness({ colors, near }, reference) {
  const everywhere = near.map(() => true);
  return Math.max(correlation(colors, reference, everywhere), correlation(colors, reference, near));
}

/** @param {number[][]} first @param {number[][]} second @param {boolean[]} chosen */
function correlation(first, second, chosen) {
  const count = Math.max(chosen.filter(Boolean).length, 1);
  const sums = [0, 0, 0];
  first.forEach((channel, c) => {
    const [a, b] = [channel, second[c]].map((values) => {
      const mean = values.reduce((sum, value, k) => sum + (chosen[k] ? value : 0), 0) / count;
      return values.map((value, k) => (chosen[k] ? value - mean : 0));
    });
    a.forEach((value, k) => {
      sums[0] += value * b[k];
      sums[1] += value * value;
      sums[2] += b[k] * b[k];
    });
  });
  return sums[0] / Math.max(Math.sqrt(sums[1] * sums[2]), 1e-9);
}

/** @param {number[][]} first @param {number[][]} second @param {number} amount of the second */
function mixed(first, second, amount) {
  return first.map((channel, c) => channel.map((value, k) => value + amount * (second[c][k] - value)));
}
