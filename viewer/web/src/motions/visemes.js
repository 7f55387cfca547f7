/** What a mouth may look like that makes the sound of a spectrum.
 *
 * Four bands stand in for formants (F1 opens the mouth, F2 tells spread from rounded lips: Fant, Acoustic Theory of Speech
 * Production, 1960): loudness and the height of F1 open the jaw, much sound around the F2 of i and e spreads the lips, little
 * of it with a low F1 rounds them. This is the color of vowels, not speech recognition. */

/** Low and high end of each band, hertz: F1 of closed vowels, F1 and F2 of open ones, F2 of spread ones, hiss. */
const BANDS = [[150, 550], [600, 1400], [1600, 3500], [4000, 8000]];
const LEAST_POWER = 1e-9; // of a band: -90 dB of a full-scale sine wave
const BAND_SECONDS = 0.03;
/** Noise is the minimum over this time (minimum statistics: Martin, IEEE Trans. Speech Audio Process. 9(5), 2001). */
const BLOCK_SECONDS = 1;
const BLOCKS = 6;
const MOST_FIRST_NOISE = 1e-5; // of a band: who starts by speaking is not taken for noise
const NOISE_FACTOR = 4; // power above the minimum that is still noise
/** Decibels: first guess of loud speech, its rise (time constant, seconds) and fall, and where it stays. */
const LOUD = { first: -30, rise: 0.3, fallPerSecond: 3, least: -55, aboveNoise: 20 };
const RANGE = 24; // decibels between loud speech and a closed mouth
const NOISE_MARGIN = 8; // decibels of this range that are given up in noise
const LIP_SECONDS = 0.07;
const JAW_SECONDS = { attack: 0.04, release: 0.1 };
const VOICE_SECONDS = { attack: 0.05, release: 0.25 };

/** What has been heard so far; `heard` gives the next one.
 * @typedef {Object} Hearing
 * @property {number[]} bands power of each band, smoothed; empty before the first sound
 * @property {number[][]} minima of the bands in the last blocks, the newest first
 * @property {number} blockSeconds age of the newest block
 * @property {number} loud level of loud speech, decibels
 * @property {number} voice recent speech, 0..1
 * @property {Object<string, number>} weights of ARKit's expressions, 0..1 */

/** Nothing has been heard. @type {Readonly<Hearing>} */
export const SILENCE = Object.freeze({
  bands: [], minima: [], blockSeconds: 0, loud: LOUD.first, voice: 0, weights: Object.freeze(mouth(0, 0, 0, 0)),
});

/** What is heard after one more spectrum; changes none of its arguments.
 * @param {Readonly<Hearing>} before @param {ArrayLike<number>} decibels of each bin, as of an AnalyserNode
 * @param {number} hertz width of a bin @param {number} seconds since the spectrum before @returns {Hearing} */
export function heard(before, decibels, hertz, seconds) {
  const powers = bandPowers(decibels, hertz);
  if (!before.minima.length && !powers.some((power) => power > LEAST_POWER)) return before; // not started yet
  const bands = powers.map((power, b) => eased(before.bands[b] ?? power, power, BAND_SECONDS, seconds));
  const { minima, blockSeconds } = followed(before, bands, seconds);
  const noise = bands.map((_, b) => Math.min(...minima.map((block) => block[b])));
  const sound = bands.map((power, b) => Math.max(power - NOISE_FACTOR * noise[b], 0) + LEAST_POWER);
  const level = decibelsOf(total(sound)), floor = Math.max(decibelsOf(total(noise)), decibelsOf(LEAST_POWER));
  const loud = loudness(before.loud, level, floor, seconds);
  const energy = ramp(level, loud - Math.min(RANGE, loud - floor - NOISE_MARGIN), loud);
  const voiced = Math.min(2 * energy, 1);
  const { attack, release } = VOICE_SECONDS;
  const voice = eased(before.voice, voiced, voiced > before.voice ? attack : release, seconds);
  const target = shape(sound, energy);
  /** @type {Object<string, number>} */
  const weights = {};
  for (const [name, value] of Object.entries(target)) {
    const last = before.weights[name] ?? 0;
    const jaw = value > last ? JAW_SECONDS.attack : JAW_SECONDS.release;
    weights[name] = eased(last, value, name === "jawOpen" ? jaw : LIP_SECONDS, seconds);
  }
  const closing = Math.max(voice - voiced, 0); // speech that has just paused
  weights.mouthClose = closing * weights.jawOpen; // lips meet while the jaw is still on its way
  weights.mouthPressLeft = weights.mouthPressRight = 0.4 * closing;
  return { bands, minima, blockSeconds, loud, voice, weights };
}

/** The expressions of a sound. @param {number[]} sound power of each band without noise @param {number} energy 0..1 */
function shape(sound, energy) {
  const [low, middle, high, hissing] = sound.map(decibelsOf);
  const open = ramp(middle - low, -16, 6);
  const spread = ramp(high - middle, -10, 2);
  const hiss = ramp(hissing - Math.max(low, middle, high), -12, 0);
  return mouth(energy, open, spread, hiss);
}

/** Weights of a mouth: energy, openness and spread of the vowel, and hiss, each 0..1.
 * @param {number} energy @param {number} open @param {number} spread @param {number} hiss
 * @returns {Object<string, number>} */
function mouth(energy, open, spread, hiss) {
  const lips = Math.min(2 * energy, 1);
  const vowel = lips * (1 - hiss);
  const round = vowel * (1 - spread) * (1 - ramp(open, 0.6, 0.95));
  const wide = ramp(open, 0.15, 0.5); // from u to o
  const smile = 0.4 * vowel * spread * (1 - open);
  const stretch = lips * Math.max(0.4 * spread, 0.3 * hiss);
  return {
    jawOpen: energy * (0.2 + 0.4 * open) * (1 - 0.7 * hiss),
    mouthFunnel: 0.5 * round * (0.2 + 0.8 * wide),
    mouthPucker: 0.7 * round * (1 - 0.8 * wide),
    mouthStretchLeft: stretch, mouthStretchRight: stretch,
    mouthSmileLeft: smile, mouthSmileRight: smile,
    mouthClose: 0, mouthPressLeft: 0, mouthPressRight: 0,
  };
}

/** Power of each band; a spectrum that ends below a band has none in it.
 * @param {ArrayLike<number>} decibels @param {number} hertz @returns {number[]} */
function bandPowers(decibels, hertz) {
  return BANDS.map(([low, high]) => {
    let power = 0;
    const end = Math.min(Math.ceil(high / hertz), decibels.length);
    for (let k = Math.ceil(low / hertz); k < end; k++) power += 10 ** (decibels[k] / 10);
    return Number.isFinite(power) ? power : 0;
  });
}

/** The minima with one more sample of the bands.
 * @param {Readonly<Hearing>} before @param {number[]} bands @param {number} seconds */
function followed({ minima, blockSeconds }, bands, seconds) {
  const age = blockSeconds + seconds;
  if (!minima.length) return { minima: [bands.map((power) => Math.min(power, MOST_FIRST_NOISE))], blockSeconds: 0 };
  if (age >= BLOCK_SECONDS) return { minima: [bands, ...minima].slice(0, BLOCKS), blockSeconds: 0 };
  const newest = minima[0].map((power, b) => Math.min(power, bands[b]));
  return { minima: [newest, ...minima.slice(1)], blockSeconds: age };
}

/** Level of loud speech after a level; it falls only while somebody speaks.
 * @param {number} last @param {number} level @param {number} floor @param {number} seconds */
function loudness(last, level, floor, seconds) {
  const isSpeech = level > Math.max(floor + NOISE_MARGIN, last - RANGE);
  const fallen = isSpeech ? last - LOUD.fallPerSecond * seconds : last;
  const loud = level > last ? eased(last, level, LOUD.rise, seconds) : Math.max(fallen, level);
  return Math.max(loud, LOUD.least, floor + LOUD.aboveNoise);
}

/** @param {number} from @param {number} to @param {number} time @param {number} seconds */
function eased(from, to, time, seconds) {
  return to + (from - to) * Math.exp(-seconds / time);
}

/** 0 below `low`, 1 above `high`, linear between. @param {number} value @param {number} low @param {number} high */
function ramp(value, low, high) {
  return Math.min(Math.max((value - low) / (high - low), 0), 1);
}

/** @param {number[]} values */
function total(values) {
  return values.reduce((sum, value) => sum + value, 0);
}

/** @param {number} power */
function decibelsOf(power) {
  return 10 * Math.log10(Math.max(power, LEAST_POWER));
}
