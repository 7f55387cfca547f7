/** A face from the camera and its voice from the microphone at once: the voice shapes the mouth, the camera the rest. As
 * capture/live/voiced_face.py, with another share: the page hears rough vowels, and no speech. */
import { clamp } from "../avatar/linear.js";
/** @import { FaceSample } from "./face_fitter.js" */

/** Expressions that speech shapes; smiles, corners and the sides of the mouth stay the camera's. */
const SPOKEN =
  /^(jaw(Forward|Open)|mouth(Close|Funnel|Pucker|Stretch|Roll|Shrug|Press|LowerDown|UpperUp)|tongueOut)/;
/** Share of the voice in the mouth while it speaks and the camera sees the mouth well, and the confidence below
 * which it sees less, down to nothing. */
const SHARE = 0.2, SEEN = [0.3, 0.6];
/** Weight of the mouth from which a voice speaks, and seconds in which it is taken to stop. */
const SPEAKS = 0.05, STOPS = 0.25;
/** Expressions that nothing shows of a mouth that is hidden, and seconds in which such a one goes over to the voice's, and back. */
const MOUTH = /^(jaw|mouth|tongue|cheekPuff)/, FADE = 0.1;
/** Seconds that a face waits for its sound at most. */
const PATIENCE = 0.25;
/** Seconds over which the silent mouth is averaged, in which the mean follows a speaking one down, and of voice that is
 * remembered. */
const REST = 2, CLOSING = 0.3, MEMORY = 2;

/** A tracked image: without a sample, none is fitted.
 * @typedef {{seconds: number, sample: FaceSample | null}} Seen */

/** @template {Seen} T what is known of an image */
export class VoicedFace {
  /** @param {string[]} names of the camera's expressions @param {number} share of the voice where the mouth is seen well */
  constructor(names, share = SHARE) {
    this.names = names;
    this.share = share;
    /** Faces whose sound is not heard yet, and when they came. @type {{arrived: number, face: T}[]} */
    this.waiting = [];
    /** The voice: time of the sound, weights by name, 0..1 speaks.
     * @type {{time: number, weights: Record<string, number>, speaks: number}[]} */
    this.mouths = [];
    this.heardUntil = -Infinity;
    /** The newest with a face. @type {FaceSample | null} */
    this.last = null;
    /** Time, and how far the mouth is hidden then, 0..1. @type {[number, number]} */
    this.covered = [-Infinity, 0];
    /** Weights [E] of the person's silent face. @type {number[] | null} */
    this.rest = null;
  }

  /** Remembers the mouth of the sound at `heard` seconds. @param {number} heard @param {Record<string, number>} weights */
  listen(heard, weights) {
    const { mouths } = this;
    const passed = heard - this.heardUntil, before = mouths.length ? mouths[mouths.length - 1].speaks : 0;
    const moved = Math.max(...Object.keys(weights).map((name) => (SPOKEN.test(name) ? weights[name] : 0)));
    const speaks = Math.max(Math.min(moved / SPEAKS, 1), before - passed / STOPS);
    this.heardUntil = heard;
    mouths.push({ time: heard, weights, speaks });
    while (mouths[0].time < heard - MEMORY) mouths.shift();
  }

  /** Adds a face that comes at `now` seconds. @param {T} face @param {number} now */
  see(face, now) {
    this.waiting.push({ arrived: now, face });
  }

  /** The newest face whose sound is heard at `now` seconds, or that has waited too long, with the mouth of the voice as far as
   * that speaks; once. @param {number} now @returns {T | null} */
  take(now) {
    /** @type {T | null} */
    let found = null;
    while (this.waiting.length) {
      const [{ arrived, face }] = this.waiting;
      if (this.heardUntil < face.seconds && now - arrived < PATIENCE) break;
      this.waiting.shift();
      found = face;
      if (face.sample) this.#learn(face.sample);
    }
    return found && { ...found, sample: this.#voiced(found) };
  }

  /** Null where nothing was heard. @param {number} moment
   * @returns {{weights: Record<string, number>, speaks: number} | null} */
  #voiceAt(moment) {
    const distance = (/** @type {{time: number}} */ { time }) => Math.abs(time - moment);
    const near = this.mouths.reduce((best, mouth) => (distance(mouth) < distance(best) ? mouth : best), this.mouths[0]);
    return near && distance(near) <= PATIENCE ? near : null;
  }

  /** Follows the face at rest: in silence, and in speech down to where the mouth closes. @param {FaceSample} sample */
  #learn(sample) {
    const speaks = this.#voiceAt(sample.seconds)?.speaks;
    if (!this.rest || !this.last) this.rest = [...sample.expression];
    else if (!sample.hidden.includes("mouth")) {
      const part = Math.min((sample.seconds - this.last.seconds) / (speaks ? CLOSING : REST), 1);
      this.rest = this.rest.map((value, e) => {
        const change = sample.expression[e] - value;
        return value + part * (speaks ? Math.min(change, 0) : change);
      });
    }
    this.last = sample;
  }

  /** As far as the voice speaks where the mouth is seen, in full where not. @param {Seen} face
   * @returns {FaceSample | null} */
  #voiced({ seconds, sample }) {
    const { rest, last, names } = this, heard = this.#voiceAt(seconds);
    if (!heard || !rest || !last) return sample;
    const { weights, speaks } = heard;
    const spoken = (/** @type {number} */ e) => clamp(rest[e] + (weights[names[e]] ?? 0), 0, 1);
    if (!sample) return speaks ? { ...last, seconds, expression: names.map((_, e) => spoken(e)), hidden: [] } : null;
    const seen = clamp((sample.confidence - SEEN[0]) / (SEEN[1] - SEEN[0]), 0, 1);
    const covered = this.#cover(sample.hidden.includes("mouth"), seconds);
    const amount = Math.max(speaks * (1 - (1 - this.share) * seen), covered);
    const expression = sample.expression.map((weight, e) => {
      if (SPOKEN.test(names[e])) return weight + amount * (spoken(e) - weight);
      return MOUTH.test(names[e]) ? weight + covered * (rest[e] - weight) : weight; // what no voice shows rests
    });
    return { ...sample, expression, hidden: sample.hidden.filter((region) => region !== "mouth") };
  }

  /** How far the mouth is hidden, 0..1, without jumps. @param {boolean} isHidden @param {number} seconds */
  #cover(isHidden, seconds) {
    const [before, amount] = this.covered, step = (seconds - before) / FADE;
    this.covered = [seconds, isHidden ? Math.min(amount + step, 1) : Math.max(amount - step, 0)];
    return this.covered[1];
  }
}
