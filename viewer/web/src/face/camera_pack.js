/** Reads what `headsplat export --with-camera` packs into a page, see viewer/web/camera_pack.py. */
import { fetched } from "../container/fetched.js";

/** What the worker of the camera needs; addresses of files beside the page, or contents.
 * @typedef {Object} CameraPack
 * @property {string | Uint8Array<ArrayBuffer>} loader JavaScript that starts MediaPipe
 * @property {string | Uint8Array<ArrayBuffer>} wasm
 * @property {Uint8Array<ArrayBuffer>} task the networks @property {Uint8Array<ArrayBuffer>} landmarks */

const DAMAGED = "The camera of this page is damaged; export or download it again.";

/** @param {() => Uint8Array<ArrayBuffer>} bytes gives the compressed pack @returns {Promise<CameraPack>} rejected with a sentence for
 * the page */
export async function readCameraPack(bytes) {
  if (!("DecompressionStream" in globalThis)) throw new Error("This browser is too old for the camera; use another one.");
  let parts;
  try {
    parts = split(await decompressed(bytes()));
  } catch {
    throw new Error(DAMAGED);
  }
  const { loader, wasm, task, landmarks } = parts;
  for (const part of [loader, wasm, task, landmarks]) if (!part) throw new Error(DAMAGED);
  return { loader, wasm, task, landmarks };
}

/** The same from files beside the page. @param {Record<keyof CameraPack, string>} names @returns {Promise<CameraPack>}
 * rejected with a sentence for the page */
export async function fetchedCamera({ loader, wasm, task, landmarks }) {
  const [networks, model] = await Promise.all([task, landmarks].map(fetched));
  const address = (/** @type {string} */ name) => new URL(name, document.baseURI).href;
  return { loader: address(loader), wasm: address(wasm), task: new Uint8Array(networks), landmarks: new Uint8Array(model) };
}

/** @param {Uint8Array<ArrayBuffer>} bytes @returns {Promise<Uint8Array<ArrayBuffer>>} */
async function decompressed(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Parts by name. @param {Uint8Array<ArrayBuffer>} bytes @returns {Object<string, Uint8Array<ArrayBuffer>>} */
function split(bytes) {
  const length = new DataView(bytes.buffer).getUint32(0, true);
  const index = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  /** @type {Object<string, Uint8Array<ArrayBuffer>>} */
  const parts = {};
  let at = 4 + length;
  for (const [name, size] of index) {
    if (!(size > 0 && at + size <= bytes.length)) throw new RangeError(name);
    parts[name] = bytes.slice(at, at + size);
    at += size;
  }
  return parts;
}
