/** Images and videos of the canvas, saved as files. */
import { notedPicture, notedVideo } from "./made_note.js";
/** @import { Player } from "./player.js" */

const SLICE = 500; // milliseconds between the parts of a video

/** Saves the canvas as a PNG file. @param {Player} player @param {string} name */
export function savePicture(player, name) {
  player.redraw(); // the drawing buffer is valid until the end of this task
  player.canvas.toBlob((blob) => save(blob, notedPicture, `${name}.png`), "image/png");
}

/** Records the canvas as WebM; null where the browser cannot.
 * @param {HTMLCanvasElement} canvas @param {string} name @returns {MediaRecorder | null} to be stopped */
export function recordVideo(canvas, name) {
  if (!("MediaRecorder" in globalThis) || !MediaRecorder.isTypeSupported("video/webm")) return null;
  /** @type {Blob[]} */
  const parts = [];
  const recorder = new MediaRecorder(canvas.captureStream(), { mimeType: "video/webm", videoBitsPerSecond: 8e6 });
  recorder.ondataavailable = ({ data }) => parts.push(data);
  recorder.onstop = () => save(new Blob(parts, { type: "video/webm" }), notedVideo, `${name}.webm`);
  recorder.start(SLICE);
  return recorder;
}

/** @param {Blob | null} blob @param {(content: Uint8Array<ArrayBuffer>) => BlobPart[]} noted says where it comes from
 * @param {string} file */
async function save(blob, noted, file) {
  if (!blob) return; // an empty image
  const parts = noted(new Uint8Array(await blob.arrayBuffer()));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(parts, { type: blob.type }));
  link.download = file;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
