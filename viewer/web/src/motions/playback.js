/** The clock of the motion that the page plays, and its controls. */

export class Playback {
  /** @param {{bar: HTMLElement, play: HTMLButtonElement, seek: HTMLInputElement, label: HTMLElement}} controls
   * @param {() => void} changed */
  constructor(controls, changed) {
    this.controls = controls;
    this.changed = changed;
    /** @type {import("./motions.js").PlayedMotion | null} */
    this.motion = null;
    this.isPlaying = false;
    this.time = 0;
    controls.play.addEventListener("click", () => this.toggle());
    controls.seek.addEventListener("input", () => this.#seek(Number(controls.seek.value)));
  }

  /** Plays a motion from its start. @param {import("./motions.js").PlayedMotion} motion */
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

  /** Advances the clock to `now` (milliseconds); true while the motion moves. */
  advance(now) {
    if (!this.isPlaying) return false;
    const { duration } = this.motion;
    this.time += (now - (this.last ?? now)) / 1000;
    if (this.time > duration) this.time = duration > 0 ? this.time % duration : 0;
    this.last = now;
    this.controls.seek.value = String(this.time);
    return true;
  }

  #seek(time) {
    this.#setPlaying(false);
    this.time = time;
    this.isShown = true;
    this.changed();
  }

  #setPlaying(isPlaying) {
    this.isPlaying = isPlaying;
    if (isPlaying) this.isShown = true;
    this.last = undefined;
    this.controls.play.textContent = isPlaying ? "Pause" : "Play";
    this.changed();
  }
}
