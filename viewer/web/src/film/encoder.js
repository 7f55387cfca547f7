/** The worker of the film page: images of the camera as messages for the server, the time and then a JPEG file. */
const QUALITY = 0.95; // an avatar is trained from these images
const MAX_SIDE = 1280; // pixels
/** @type {OffscreenCanvas} */
let canvas;

/** @param {VideoFrame | ImageBitmap} image @param {number} seconds @returns {Promise<ArrayBuffer>} */
async function encoded(image, seconds) {
  const { width: w, height: h } = "width" in image ? image : { width: image.displayWidth, height: image.displayHeight };
  const scale = Math.min(1, MAX_SIDE / Math.max(w, h));
  const width = Math.round(scale * w), height = Math.round(scale * h);
  if (canvas?.width !== width || canvas.height !== height) canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { alpha: false, willReadFrequently: true });
  if (!context) throw new Error("no canvas");
  context.drawImage(image, 0, 0, width, height);
  image.close();
  const file = await canvas.convertToBlob({ type: "image/jpeg", quality: QUALITY });
  const time = new DataView(new ArrayBuffer(8));
  time.setFloat64(0, seconds, true);
  return new Blob([time, file]).arrayBuffer();
}

onmessage = async ({ data: { image, seconds } }) => {
  const message = await encoded(image, seconds);
  postMessage({ message, seconds }, [message]);
};
