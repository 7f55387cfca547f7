/** The clock of the motion that the page plays, and its controls. */
/** @import { PlayedMotion } from "./motions.js" */

export class Playback {
  /** @param {{bar: HTMLElement, play: HTMLButtonElement, seek: HTMLInputElement, label: HTMLElement}} controls
   * @param {() => void} changed */
  constructor(controls, changed) {
    this.controls = controls;
    this.changed = changed;
    /** @type {PlayedMotion | null} */
    this.motion = null;
    this.isPlaying = false;
    /** Whether the motion poses the avatar, also where it is paused. */
    this.isShown = false;
    this.time = 0;
    /** Milliseconds of the last frame. @type {number | undefined} */
    this.last = undefined;
    controls.play.addEventListener("click", () => this.toggle());
    controls.seek.addEventListener("input", () => this.#seek(Number(controls.seek.value)));
  }

  /** Plays a motion from its start. @param {PlayedMotion} motion */
  load(motion) {
    this.motion = motion;
    this.time = 0;
    this.controls.bar.hidden = false;
    this.controls.label.textContent = motion.name;
    this.controls.seek.max = String(motion.duration);
    this.#setPlaying(true);
  }

  /** Plays or pauses. */
  toggle() {
    if (this.motion) this.#setPlaying(!this.isPlaying);
  }

  /** Stops the motion, so that the sliders pose the avatar. */
  leave() {
    this.#setPlaying(false);
    this.isShown = false;
  }

  /** Advances the clock to `now` (milliseconds); true while the motion moves. @param {number} now */
  advance(now) {
    if (!this.isPlaying || !this.motion) return false;
    const { duration } = this.motion;
    this.time += (now - (this.last ?? now)) / 1000;
    if (this.time > duration) this.time = duration > 0 ? this.time % duration : 0;
    this.last = now;
    this.controls.seek.value = String(this.time);
    return true;
  }

  /** @param {number} time */
  #seek(time) {
    this.#setPlaying(false);
    this.time = time;
    this.isShown = true;
    this.changed();
  }

  /** @param {boolean} isPlaying */
  #setPlaying(isPlaying) {
    this.isPlaying = isPlaying;
    if (isPlaying) this.isShown = true;
    this.last = undefined;
    this.controls.play.textContent = isPlaying ? "Pause" : "Play";
    this.changed();
  }
}
