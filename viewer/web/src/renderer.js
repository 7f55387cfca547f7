/** Renders frames of the worker into a canvas with WebGL2. */
import { bindTextures, COVER, createProgram, Target } from "./gl.js";
import { LayerPass } from "./layer_pass.js";
import { SplatPass } from "./splat_pass.js";

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
  /** @param {HTMLCanvasElement} canvas @param {{layer: Object | null, gaussians: number}} avatar from the worker */
  constructor(canvas, { layer, gaussians }) {
    const gl = canvas.getContext("webgl2", { alpha: true, antialias: false, depth: false, premultipliedAlpha: true });
    if (!gl) throw new Error("this browser has no WebGL2");
    if (!gl.getExtension("EXT_color_buffer_float") && !gl.getExtension("EXT_color_buffer_half_float"))
      throw new Error("this browser cannot render to half-precision images");
    this.canvas = canvas;
    this.gl = gl;
    this.splats = new SplatPass(gl, gaussians, Boolean(layer));
    this.layer = layer ? new LayerPass(gl, layer) : null;
    this.image = new Target(gl, [isSoftware(gl) ? gl.RGBA8 : gl.RGBA16F]);
    this.present = createProgram(gl, COVER, PRESENT);
  }

  /** Renders a frame of the worker over a background (premultiplied sRGB and alpha, 0..1). */
  render(frame, background) {
    const { gl, canvas } = this;
    const { camera, count, splats, vertices, layer } = frame;
    const { width, height } = camera;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    this.splats.upload(splats, count);
    const images = this.layer?.draw(layer, camera, vertices) ?? null;
    this.image.bind(width, height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    if (images) this.layer.compose(images, layer, camera);
    gl.viewport(0, 0, width, height);
    this.splats.draw(width, height, images);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.useProgram(this.present.program);
    gl.uniform4fv(this.present.uniforms.background, background);
    bindTextures(gl, this.present.uniforms, { image: this.image.textures[0] });
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }
}

/** Whether the processor draws: there half precision takes almost twice the time of bytes. */
function isSoftware(gl) {
  const info = gl.getExtension("WEBGL_debug_renderer_info");
  return /swiftshader|llvmpipe|softpipe|basic render/i.test(info ? gl.getParameter(info.UNMASKED_RENDERER_WEBGL) : "");
}
