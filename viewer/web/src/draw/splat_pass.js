/** Draws sorted Gaussians, the farthest first, as one indexed call. */
import { bindTextures, createProgram, createTexture } from "./gl.js";
import { DEPTH_MARGIN, SOLID } from "./layer_region.js";
import { SPLAT_SIZE } from "../avatar/projection.js";
/** @import { LayerImages } from "./layer_pass.js" */

const TEXELS = SPLAT_SIZE / 4;
const PER_ROW = 512; // Gaussians in a row of the texture

const VERTEX = `
uniform sampler2D splats;
uniform vec2 size;
out vec2 at;
flat out vec4 color;  // and opacity
flat out vec2 place;  // depth, fade

void main() {
  int splat = gl_VertexID >> 2;
  ivec2 texel = ivec2(${TEXELS} * (splat % ${PER_ROW}), splat / ${PER_ROW});
  vec4 first = texelFetch(splats, texel, 0);
  vec4 second = texelFetch(splats, texel + ivec2(1, 0), 0);
  vec4 third = texelFetch(splats, texel + ivec2(2, 0), 0);
  vec2 corner = vec2(gl_VertexID & 1, (gl_VertexID >> 1) & 1) * 2.0 - 1.0;
  at = corner * sqrt(2.0 * log(255.0 * second.z));
  color = vec4(third.rgb, second.z);
  place = vec2(second.w, third.w);
  vec2 pixel = first.xy + first.zw * at.x + second.xy * at.y;
  gl_Position = vec4(2.0 * pixel / size - 1.0, 0.0, 1.0) * vec4(1.0, -1.0, 1.0, 1.0);
}`;

const FRAGMENT = `
in vec2 at;
flat in vec4 color;
flat in vec2 place;
out vec4 result;
#ifdef LAYER
uniform sampler2D layerColor;    // premultiplied, coverage
uniform sampler2D layerStencil;  // stencil, depth from the middle
uniform ivec4 box;               // x, y, width, height of the layer's images
uniform float middle;

float kept() {
  ivec2 pixel = ivec2(gl_FragCoord.xy) - box.xy;
  if (any(lessThan(pixel, ivec2(0))) || any(greaterThanEqual(pixel, box.zw))) return 1.0;
  vec2 front = texelFetch(layerStencil, pixel, 0).xy;
  if (place.x > middle + front.y + DEPTH_MARGIN && texelFetch(layerColor, pixel, 0).a >= SOLID) return 0.0;
  return 1.0 - front.x * place.y;
}
#endif

void main() {
  float alpha = color.a * exp(-0.5 * dot(at, at));
  if (alpha < 1.0 / 255.0) discard;
  alpha = min(alpha, 0.999);
#ifdef LAYER
  alpha *= kept();
#endif
  result = vec4(color.rgb * alpha, alpha);
}`;
const CONSTANTS = `#define DEPTH_MARGIN ${DEPTH_MARGIN}\n#define SOLID ${SOLID}\n`;

export class SplatPass {
  /** @param {WebGL2RenderingContext} gl @param {number} count Gaussians @param {boolean} layer */
  constructor(gl, count, layer) {
    this.gl = gl;
    this.program = createProgram(gl, VERTEX, (layer ? `#define LAYER\n${CONSTANTS}` : "") + FRAGMENT);
    this.texture = createTexture(gl, gl.RGBA32F, TEXELS * PER_ROW, Math.max(Math.ceil(count / PER_ROW), 1));
    this.count = 0;
    this.vertexArray = gl.createVertexArray();
    gl.bindVertexArray(this.vertexArray);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, quadIndices(count), gl.STATIC_DRAW);
    gl.bindVertexArray(null);
  }

  /** Uploads `count` projected Gaussians. @param {Float32Array} splats @param {number} count */
  upload(splats, count) {
    const { gl } = this;
    const rows = Math.floor(count / PER_ROW), rest = count % PER_ROW, width = TEXELS * PER_ROW;
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    if (rows) gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, width, rows, gl.RGBA, gl.FLOAT, splats);
    if (rest)
      gl.texSubImage2D(
        gl.TEXTURE_2D, 0, 0, rows, TEXELS * rest, 1, gl.RGBA, gl.FLOAT, splats, rows * PER_ROW * SPLAT_SIZE,
      );
    this.count = count;
  }

  /** Blends the Gaussians over the bound target of `width` x `height` pixels.
   * @param {number} width @param {number} height @param {LayerImages | null} layer */
  draw(width, height, layer) {
    const { gl, program: { program, uniforms } } = this;
    gl.useProgram(program);
    gl.uniform2f(uniforms.size, width, height);
    if (layer) {
      const { color, stencil, box, middle } = layer;
      gl.uniform4iv(uniforms.box, box);
      gl.uniform1f(uniforms.middle, middle);
      bindTextures(gl, uniforms, { splats: this.texture, layerColor: color, layerStencil: stencil });
    } else bindTextures(gl, uniforms, { splats: this.texture });
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.bindVertexArray(this.vertexArray);
    gl.drawElements(gl.TRIANGLES, 6 * this.count, gl.UNSIGNED_INT, 0);
    gl.bindVertexArray(null);
    gl.disable(gl.BLEND);
  }
}

/** Two triangles for each of `count` quads with corners 4k to 4k+3. @param {number} count */
function quadIndices(count) {
  const indices = new Uint32Array(6 * count);
  for (let quad = 0; quad < count; quad++)
    [0, 1, 2, 2, 1, 3].forEach((corner, k) => (indices[6 * quad + k] = 4 * quad + corner));
  return indices;
}
