/** Reads what `headsplat export --with-camera` packs into a page, see viewer/web/camera_pack.py. */

/** @typedef {Object} CameraPack
 * @property {string} library JavaScript of MediaPipe, a CommonJS module @property {Uint8Array<ArrayBuffer>} loader
 * @property {Uint8Array<ArrayBuffer>} wasm @property {Uint8Array<ArrayBuffer>} task the networks
 * @property {Uint8Array<ArrayBuffer>} landmarks */

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
  const { library, loader, wasm, task, landmarks } = parts;
  for (const part of [library, loader, wasm, task, landmarks]) if (!part) throw new Error(DAMAGED);
  return { library: new TextDecoder().decode(library), loader, wasm, task, landmarks };
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
