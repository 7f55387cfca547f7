/** Renders frames of the workers into a canvas with WebGL2: draws them, or shows what the workers have drawn. */
import { bindTextures, COVER, createProgram, Target } from "./gl.js";
import { LayerPass } from "./layer_pass.js";
import { SplatPass } from "./splat_pass.js";
/** @import { LayerArrays, LayerView } from "../avatar/mesh_layer.js" */
/** @import { Camera } from "../avatar/projection.js" */
/** @import { Band } from "../draw_cpu/band_raster.js" */

/** The image over the background. */
const PRESENT = `
uniform sampler2D image;
uniform vec4 background;
out vec4 result;
void main() {
  vec4 color = texelFetch(image, ivec2(gl_FragCoord.xy), 0);
  result = color + (1.0 - color.a) * background;
}`;

/** What the worker measures of a frame.
 * @typedef {Object} FrameTimes
 * @property {"frame"} type
 * @property {Camera} camera
 * @property {LayerView | null} layer as the camera sees it
 * @property {number} poseTime milliseconds of posing the Gaussians
 * @property {number} sortTime milliseconds of projecting and sorting them */
/** A frame that the workers have drawn. @typedef {FrameTimes & {bands: Band[], gaussians?: undefined}} DrawnFrame */
/** A frame for the graphics card: `count` projected Gaussians, the farthest first, and the vertices [V,4] of the layer.
 * @typedef {FrameTimes & {bands?: undefined, gaussians?: undefined, splats: Float32Array, count: number,
 *   vertices: Float32Array | null}} SplatFrame */
/** @typedef {DrawnFrame | SplatFrame} ImageFrame a frame to be rendered */
/** A frame for the splat renderer of a scene, see `WorldGaussians`.
 * @typedef {FrameTimes & {gaussians: Float32Array}} GaussianFrame */
/** @typedef {ImageFrame | GaussianFrame} Frame */

export class Renderer {
  /** @param {HTMLCanvasElement} canvas @param {{layer: LayerArrays | null, gaussians: number}} avatar from the worker
   * @param {boolean} [onProcessor] where the image is drawn; omitted: where it is faster */
  constructor(canvas, { layer, gaussians }, onProcessor) {
    const gl = canvas.getContext("webgl2", { alpha: true, antialias: false, depth: false, premultipliedAlpha: true });
    if (!gl) throw new Error("this browser has no WebGL2");
    this.canvas = canvas;
    this.gl = gl;
    /** Whether the workers draw the image, on the processor. */
    this.onProcessor = onProcessor ?? isSoftware(gl);
    this.present = createProgram(gl, COVER, PRESENT);
    this.image = new Target(gl, [this.onProcessor ? gl.RGBA8 : gl.RGBA16F]);
    /** @type {SplatPass | null} */
    this.splats = null;
    /** @type {LayerPass | null} */
    this.layer = null;
    if (this.onProcessor) return;
    if (!gl.getExtension("EXT_color_buffer_float") && !gl.getExtension("EXT_color_buffer_half_float"))
      throw new Error("this browser cannot render to half-precision images");
    this.splats = new SplatPass(gl, gaussians, Boolean(layer));
    if (layer) this.layer = new LayerPass(gl, layer);
  }

  /** Renders a frame of the worker over a background (premultiplied sRGB and alpha, 0..1).
   * @param {ImageFrame} frame @param {number[]} background */
  render(frame, background) {
    const { gl, canvas } = this;
    const { width, height } = frame.camera;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    if (frame.bands) this.#upload(frame.camera, frame.bands);
    else this.#draw(frame);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.viewport(0, 0, width, height);
    gl.useProgram(this.present.program);
    gl.uniform4fv(this.present.uniforms.background, background);
    bindTextures(gl, this.present.uniforms, { image: this.image.textures[0] });
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  /** Draws the layer, and the Gaussians over it. @param {SplatFrame} frame */
  #draw({ camera, splats, count, vertices, layer }) {
    const { gl } = this;
    const { width, height } = camera;
    const images = this.layer && layer && vertices ? this.layer.draw(layer, camera, vertices) : null;
    this.image.bind(width, height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    if (images && layer) this.layer?.compose(images, layer, camera);
    this.splats?.upload(splats, count);
    gl.viewport(0, 0, width, height);
    this.splats?.draw(width, height, images);
  }

  /** Takes over the bands of rows that the workers have drawn. @param {Camera} camera @param {Band[]} bands */
  #upload({ width, height }, bands) {
    const { gl } = this;
    this.image.bind(width, height);
    gl.bindTexture(gl.TEXTURE_2D, this.image.textures[0]);
    for (const { first, rows, bytes } of bands)
      if (rows) gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, first, width, rows, gl.RGBA, gl.UNSIGNED_BYTE, bytes);
  }
}

/** Whether the processor emulates a graphics card. @param {WebGL2RenderingContext} gl */
function isSoftware(gl) {
  const info = gl.getExtension("WEBGL_debug_renderer_info");
  return /swiftshader|llvmpipe|softpipe|basic render/i.test(info ? gl.getParameter(info.UNMASKED_RENDERER_WEBGL) : "");
}
