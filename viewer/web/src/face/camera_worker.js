/** The worker of the camera: landmarks of each image by MediaPipe, and the face that fits them. */
import { FaceFitter } from "./face_fitter.js";
import { FaceLight } from "./face_light.js";
import { LandmarkModel } from "./landmark_model.js";
import { messageOf } from "../container/error_message.js";
import { addressOf, trustedPolicy } from "../container/scripts.js";
import { blockedBy } from "../container/server_policy.js";
/** @import { CameraPack } from "./camera_pack.js" */
/** @import { FaceSample } from "./face_fitter.js" */

const POINTS = 478;
/** Milliseconds between two images in the clock that MediaPipe sees. Its filter of the landmarks, which makes blinks small
 * and speech late, hardly acts over such a step; the page smooths by itself, as the live pipeline does. */
const STEP = 1000;

/** What the page receives of an image.
 * @typedef {Object} TrackedFace
 * @property {"tracked"} type
 * @property {number} session number that came with the image
 * @property {number} seconds its time
 * @property {FaceSample | null} sample null where no face is fitted
 * @property {boolean} isFace whether the image shows one
 * @property {number} progress 0..1, of learning the face
 * @property {FaceSample[]} earlier samples of the images that it was learned from, once */

/** @type {FaceLandmarker} */
let landmarker;
/** @type {LandmarkModel} */
let model;
/** @type {FaceFitter | undefined} */
let fitter;
/** Null where the browser has no canvas in workers. */
const reader = typeof OffscreenCanvas === "undefined" ? null : new FaceLight();
let size = "";
let clock = 0;

/** Starts MediaPipe. @param {CameraPack} pack */
async function load({ loader, wasm, task, landmarks }) {
  model = new LandmarkModel(landmarks.buffer);
  trustedPolicy("default"); // the library loads a script by its address
  // Only what made an address of contents can read it, in a page from the disk.
  const address = (/** @type {string | Uint8Array<ArrayBuffer>} */ file, /** @type {string} */ type) =>
    typeof file === "string" ? file : addressOf(file, type);
  const files = {
    wasmLoaderPath: address(loader, "text/javascript"), wasmBinaryPath: address(wasm, "application/wasm"),
  };
  landmarker = await tasksVision.FaceLandmarker.createFromOptions(files, {
    baseOptions: { modelAssetBuffer: task, delegate: "CPU" }, // the networks have operators that graphics cards lack
    runningMode: "VIDEO",
    numFaces: 1,
  });
  for (const path of Object.values(files)) URL.revokeObjectURL(path); // of no effect on files
  postMessage({ type: "loaded", names: model.names });
}

/** Finds the face in an image. @param {{image: ImageBitmap, seconds: number, session: number}} request with its time, and a
 * number that comes back */
function track({ image, seconds, session }) {
  const { width, height } = image;
  if (!fitter || size !== `${width}x${height}`) {
    fitter = new FaceFitter(model, width, height);
    size = `${width}x${height}`;
  }
  const { points, light } = seen(image);
  const wasKnown = fitter.progress >= 1;
  const sample = points ? fitter.add(points, seconds, light) : null;
  const isKnown = fitter.progress >= 1;
  postMessage(/** @type {TrackedFace} */ ({
    type: "tracked", session, seconds, sample, isFace: Boolean(points), progress: fitter.progress,
    earlier: isKnown && !wasKnown ? fitter.earlier : [],
  }));
}

/** The landmarks of the face in an image, null without a face, and the light around them; the image is closed.
 * @param {ImageBitmap} image @returns {{points: Float32Array | null, light: Float32Array | null}} */
function seen(image) {
  try {
    const found = landmarker.detectForVideo(image, (clock += STEP)).faceLandmarks[0];
    const points = found ? pixels(found, image.width, image.height) : null;
    return { points, light: (points && reader?.around(image, points)) ?? null };
  } finally {
    image.close();
  }
}

/** Landmarks [478,3] in pixels; their depth has the scale of x.
 * @param {{x: number, y: number, z: number}[]} landmarks @param {number} width @param {number} height */
function pixels(landmarks, width, height) {
  const points = new Float32Array(3 * POINTS);
  landmarks.forEach(({ x, y, z }, k) => points.set([x * width, y * height, z * width], 3 * k));
  return points;
}

self.onmessage = async ({ data }) => {
  try {
    if (data.type === "load") await load(data.pack);
    else if (data.type === "restart") fitter?.restart();
    else track(data);
  } catch (error) {
    const message = `The camera cannot be followed (${firstLine(error)}); use another browser.`;
    postMessage({ type: "failed", message, blocked: await blockedBy() });
  }
};

/** @param {unknown} error @returns {string} */
function firstLine(error) {
  return messageOf(error).split("\n")[0];
}
