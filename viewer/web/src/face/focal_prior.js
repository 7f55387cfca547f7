/** The focal length that a camera image of unknown optics probably has, as capture/tracker/camera.py does. */

/** Aspect ratios that cameras record; any other shape is a crop. */
const RECORDED_ASPECTS = [16 / 9, 3 / 2, 4 / 3, 2, 19.5 / 9, 21 / 9];

/** A log-normal prior. A typical phone or webcam has 1.4 x the shorter side; crops are taken from farther away.
 * @param {number} width pixels @param {number} height
 * @returns {{focal: number, logSigma: number}} pixels */
export function focalPrior(width, height) {
  const shorter = Math.min(width, height), longer = Math.max(width, height);
  const isRecorded = RECORDED_ASPECTS.some((known) => Math.abs(longer / shorter / known - 1) < 0.03);
  return { focal: isRecorded ? 1.4 * shorter : 3 * longer, logSigma: 0.35 };
}
