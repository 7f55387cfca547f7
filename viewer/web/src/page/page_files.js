/** What the page consists of: elements with text, or elements that name a file beside the page (`headsplat export --split`). */
import { fetchedCamera, readCameraPack } from "../face/camera_pack.js";
import { fetched } from "../container/fetched.js";
import { addressOf } from "../container/scripts.js";
/** @import { CameraPack } from "../face/camera_pack.js" */

/** Whether the style of the page is applied. A header that forbids inline styles does not limit what scripts apply.
 * @param {HTMLElement} element that it is in */
export function hasStyle({ textContent }) {
  const isApplied = () => getComputedStyle(document.body).display === "flex"; // a blocked file has a sheet, too
  if (isApplied()) return true;
  try {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(textContent);
    document.adoptedStyleSheets = [sheet];
  } catch {
    return false; // an old browser
  }
  return isApplied();
}

/** Throws a sentence where the browser will not load the file that an element names. @param {HTMLElement} element */
export function checkOrigin({ dataset }) {
  if (!dataset.file || self.origin !== "null") return;
  throw new Error(
    location.protocol === "file:"
      ? "This page was exported with --split, for a web server; put its files on one, or export it without --split."
      : "The sandbox of this page, from a header of the web server or the frame around it, blocks its files; add " +
        "allow-same-origin to it, or export the page without --split.",
  );
}

/** The address of the script in an element. @param {HTMLElement} element */
export function scriptOf({ dataset, textContent }) {
  return dataset.file ?? addressOf(textContent);
}

/** The data in an element. @param {HTMLElement} element @returns {Promise<ArrayBuffer>} rejected with a sentence for the page */
export async function bytesOf({ dataset, textContent }) {
  if (dataset.file) return fetched(dataset.file);
  try {
    return decoded(textContent);
  } catch {
    throw new Error("The avatar is damaged; export or download it again.");
  }
}

/** The camera in an element. @param {HTMLElement} element @returns {Promise<CameraPack>} rejected with a sentence for the page */
export async function cameraPackOf({ dataset, textContent }) {
  const { loader, wasm, task, landmarks } = dataset;
  if (loader && wasm && task && landmarks) return fetchedCamera({ loader, wasm, task, landmarks });
  return readCameraPack(() => new Uint8Array(decoded(textContent)));
}

/** Bytes of base64 text. @param {string} text @returns {ArrayBuffer} */
function decoded(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let k = 0; k < binary.length; k++) bytes[k] = binary.charCodeAt(k);
  return bytes.buffer;
}
