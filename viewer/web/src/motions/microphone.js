/** The microphone of the page: its spectrum moves the mouth; the sound is neither kept nor sent. */
import { checkWithheld } from "../container/server_policy.js";
import { SILENCE, heard } from "./visemes.js";
/** @import { Hearing } from "./visemes.js" */

const WINDOW = 2048; // samples of a spectrum: 43 ms at 48 kHz
/** Seconds by which the mouth of a spectrum is later than its sound: half a window, and the smoothing of the lips. */
export const HEARING_DELAY = 0.09;
const MAX_STEP = 0.1; // seconds between spectra; a tab in the background skips frames
/** The page adapts to loudness and noise itself, and needs the color that a browser would remove. */
const SOUND = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
/** @type {Record<string, string>} */
const REFUSALS = {
  NotAllowedError: "The browser refuses the microphone to this page; allow it in the settings of the site.",
  NotFoundError: "There is no microphone; connect one and try again.",
  NotReadableError: "The microphone cannot be opened; close other programs that use it.",
};
const UNAVAILABLE = "This browser gives the microphone to no page from this address; open the file from the disk or over https.";

export class Microphone {
  /** @param {() => void} changed called when listening starts or ends
   * @param {(text: string) => void} report of a sentence for the page */
  constructor(changed, report) {
    this.changed = changed;
    this.report = report;
    this.isListening = false;
    this.isStarting = false;
    /** @type {Readonly<Hearing>} */
    this.hearing = SILENCE;
    /** @type {MediaStream | null} */
    this.stream = null;
    /** @type {AudioContext | null} */
    this.context = null;
    /** @type {AnalyserNode | null} */
    this.analyser = null;
    /** Kept: browsers collect a source that nothing holds. @type {MediaStreamAudioSourceNode | null} */
    this.source = null;
    this.spectrum = new Float32Array(0);
    /** Milliseconds of the last spectrum. @type {number | undefined} */
    this.last = undefined;
  }

  /** Starts or stops listening. */
  async toggle() {
    if (this.isListening) this.stop();
    else await this.start();
  }

  /** Asks for the microphone and listens; reports why it cannot. */
  async start() {
    if (this.isListening || this.isStarting) return;
    this.isStarting = true;
    try {
      if (!navigator.mediaDevices?.getUserMedia) throw new DOMException(UNAVAILABLE, "NotSupportedError");
      checkWithheld("microphone");
      this.stream = await navigator.mediaDevices.getUserMedia({ audio: SOUND });
      this.#listen(this.stream);
    } catch (error) {
      this.stop();
      const { name, message } = error instanceof Error ? error : new Error(String(error));
      this.report(REFUSALS[name] ?? (message || REFUSALS.NotReadableError));
    } finally {
      this.isStarting = false;
    }
  }

  /** Gives the microphone back. */
  stop() {
    this.stream?.getTracks().forEach((track) => track.stop());
    this.context?.close();
    this.stream = this.context = null;
    this.#set(false);
  }

  /** Hears what sounds at `now` (milliseconds); true while listening. @param {number} now @returns {boolean} */
  advance(now) {
    const { context, analyser } = this;
    if (!this.isListening || !context || !analyser) return false;
    const seconds = Math.min((now - (this.last ?? now)) / 1000, MAX_STEP);
    this.last = now;
    analyser.getFloatFrequencyData(this.spectrum);
    this.hearing = heard(this.hearing, this.spectrum, context.sampleRate / WINDOW, Math.max(seconds, 0));
    return true;
  }

  /** Weights of the sliders with those of the mouth, the greater of both. @param {Map<string, number>} weights
   * @returns {Map<string, number>} */
  over(weights) {
    if (!this.isListening) return weights;
    const both = new Map(weights);
    for (const [name, weight] of Object.entries(this.hearing.weights)) both.set(name, Math.max(weight, both.get(name) ?? 0));
    return both;
  }

  /** @param {MediaStream} stream */
  #listen(stream) {
    const context = (this.context = new AudioContext());
    context.resume(); // after a click or a key; some browsers start it paused
    this.analyser = new AnalyserNode(context, { fftSize: WINDOW, smoothingTimeConstant: 0 });
    this.source = context.createMediaStreamSource(stream);
    this.source.connect(this.analyser);
    this.spectrum = new Float32Array(this.analyser.frequencyBinCount);
    this.hearing = SILENCE;
    this.last = undefined;
    stream.getAudioTracks()[0].onended = () => {
      this.stop();
      this.report("The microphone is gone; connect it and try again.");
    };
    this.#set(true);
  }

  /** @param {boolean} isListening */
  #set(isListening) {
    this.isListening = isListening;
    this.changed();
  }
}
