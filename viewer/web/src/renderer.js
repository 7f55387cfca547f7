/** Renders frames of the worker into a canvas with WebGL2. */
import { bindTextures, COVER, createProgram, Target } from "./gl.js";
import { LayerPass } from "./layer_pass.js";
import { SplatPass } from "./splat_pass.js";
import { SplatRaster } from "./splat_raster.js";

/** The image over the background. */
const PRESENT = `
uniform sampler2D image;
uniform vec4 background;
out vec4 result;
void main() {
  vec4 color = texelFetch(image, ivec2(gl_FragCoord.xy), 0);
  result = color + (1.0 - color.a) * background;
}`;

export class Renderer {
  /** @param {HTMLCanvasElement} canvas @param {{layer: Object | null, gaussians: number}} avatar from the worker
   * @param {boolean} [onProcessor] where the Gaussians are drawn; omitted: where it is faster */
  constructor(canvas, { layer, gaussians }, onProcessor) {
    const gl = canvas.getContext("webgl2", { alpha: true, antialias: false, depth: false, premultipliedAlpha: true });
    if (!gl) throw new Error("this browser has no WebGL2");
    if (!gl.getExtension("EXT_color_buffer_float") && !gl.getExtension("EXT_color_buffer_half_float"))
      throw new Error("this browser cannot render to half-precision images");
    this.canvas = canvas;
    this.gl = gl;
    this.raster = (onProcessor ?? isSoftware(gl)) ? new SplatRaster() : null;
    this.splats = this.raster ? null : new SplatPass(gl, gaussians, Boolean(layer));
    this.layer = layer ? new LayerPass(gl, layer) : null;
    this.image = new Target(gl, [this.raster ? gl.RGBA8 : gl.RGBA16F]);
    this.present = createProgram(gl, COVER, PRESENT);
  }

  /** Renders a frame of the worker over a background (premultiplied sRGB and alpha, 0..1). */
  render(frame, background) {
    const { gl, canvas } = this;
    const { camera, vertices, layer } = frame;
    const { width, height } = camera;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const images = this.layer?.draw(layer, camera, vertices) ?? null;
    this.image.bind(width, height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    if (images) this.layer.compose(images, layer, camera);
    if (this.raster) this.#drawOnProcessor(frame, images);
    else this.#drawOnCard(frame, images);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.useProgram(this.present.program);
    gl.uniform4fv(this.present.uniforms.background, background);
    bindTextures(gl, this.present.uniforms, { image: this.image.textures[0] });
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  /** Blends the Gaussians over the layer, which is in the bound target. */
  #drawOnCard({ camera: { width, height }, splats, count }, images) {
    this.splats.upload(splats, count);
    this.gl.viewport(0, 0, width, height);
    this.splats.draw(width, height, images);
  }

  #drawOnProcessor({ camera: { width, height }, splats, count }, images) {
    const { gl } = this;
    const size = 4 * width * height;
    if (this.bytes?.length !== size) this.bytes = new Uint8Array(size);
    const layer = images?.box[2] ? this.#layerPixels(images) : null;
    this.raster.draw(splats, count, width, height, layer, this.bytes);
    gl.bindTexture(gl.TEXTURE_2D, this.image.textures[0]);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, this.bytes);
  }

  /** The layer in the bound target, and its stencil. @returns {import("./splat_raster.js").LayerPixels} */
  #layerPixels({ box, middle }) {
    const { gl } = this;
    const color = new Uint8Array(4 * box[2] * box[3]), stencil = new Float32Array(4 * box[2] * box[3]);
    gl.readPixels(...box, gl.RGBA, gl.UNSIGNED_BYTE, color);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.layer.pixels.framebuffer);
    gl.readBuffer(gl.COLOR_ATTACHMENT1);
    gl.readPixels(0, 0, box[2], box[3], gl.RGBA, gl.FLOAT, stencil);
    return { box, color, stencil, middle };
  }
}

/** Whether the processor emulates a graphics card. */
function isSoftware(gl) {
  const info = gl.getExtension("WEBGL_debug_renderer_info");
  return /swiftshader|llvmpipe|softpipe|basic render/i.test(info ? gl.getParameter(info.UNMASKED_RENDERER_WEBGL) : "");
}
