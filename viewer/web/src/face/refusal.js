/** Why a browser gives no camera. */
import { checkWithheld } from "../container/server_policy.js";

/** @type {Record<string, string>} */
const REFUSALS = {
  NotAllowedError: "The browser refuses the camera to this page; allow it in the settings of the site.",
  NotFoundError: "There is no camera; connect one and try again.",
  NotReadableError: "The camera cannot be opened; close other programs that use it.",
};
const UNAVAILABLE = "This browser gives the camera to no page from this address; open it over https.";

/** The camera's stream, once the browser's user allows it. @param {MediaTrackConstraints} video @returns {Promise<MediaStream>} */
export async function openCamera(video) {
  if (!navigator.mediaDevices?.getUserMedia) throw new DOMException(UNAVAILABLE, "NotSupportedError");
  checkWithheld("camera");
  return navigator.mediaDevices.getUserMedia({ video });
}

/** The sentence for the page about what `openCamera` has thrown. @param {unknown} thrown */
export function cameraSentence(thrown) {
  const { name, message } = thrown instanceof Error ? thrown : new Error(String(thrown));
  return REFUSALS[name] ?? (message || REFUSALS.NotReadableError);
}
