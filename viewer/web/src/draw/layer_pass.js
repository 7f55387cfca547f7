/** The images of the mesh layer: color behind the Gaussians, and the stencil that fades them in front of it.
 *
 * The same steps as `layer` in avatar/reference/layer.py: samples of half a pixel, distances from the rim of the
 * openings, coverage and stencil from these, and a blur. */
import { bindTextures, COVER, createProgram, createTexture, Target } from "./gl.js";
import { CLASSES, LayerMesh } from "./layer_mesh.js";
import { BEYOND, HIDDEN_REACH, layerRegion, longestFadeOf, MAX_RADIUS, SUPERSAMPLE } from "./layer_region.js";
/** @import { LayerArrays, LayerView } from "../avatar/mesh_layer.js" */
/** @import { Camera } from "../avatar/projection.js" */
/** @import { Program } from "./gl.js" */
/** @import { Box } from "./layer_region.js" */

/** @typedef {Object} LayerImages
 * @property {WebGLTexture} color premultiplied, and coverage
 * @property {WebGLTexture} stencil stencil, and depth from the middle
 * @property {Box} box x, y, width, height in pixels, y up from the lower edge
 * @property {number} middle mean depth, meters */

/** Distance along the row to the nearest sample that is seen, and to the nearest that is not. */
const ROWS = `
uniform sampler2D samples;
uniform int reach;
uniform ivec2 size;
out vec4 distances;
${CLASSES}
bool isSeen(ivec2 at) {
  return at.x >= 0 && at.x < size.x && texelFetch(samples, at, 0).a == SEEN;
}

void main() {
  ivec2 at = ivec2(gl_FragCoord.xy);
  bool seen = isSeen(at);
  float found = ${BEYOND}.0;
  for (int k = 1; k <= reach; k++)
    if (isSeen(at - ivec2(k, 0)) != seen || isSeen(at + ivec2(k, 0)) != seen) {
      found = float(k);
      break;
    }
  distances = seen ? vec4(0.0, found, 0.0, 0.0) : vec4(found, 0.0, 0.0, 0.0);
}`;

/** Coverage, stencil and color of the samples, averaged for each pixel. */
const RESOLVE = `
uniform sampler2D samples;
uniform sampler2D places;
uniform sampler2D rows;
uniform int reach;
uniform ivec2 size;
uniform float metersPerSample;
layout(location = 0) out vec4 color;
layout(location = 1) out vec4 stencil;
${CLASSES}
float smoothStep(float t) {
  t = clamp(t, 0.0, 1.0);
  return t * t * (3.0 - 2.0 * t);
}

float metersTo(ivec2 at, bool seen) {
  vec2 own = texelFetch(rows, at, 0).xy;
  float best = seen ? own.y : own.x;
  for (int k = 1; k <= reach && float(k) < best; k++)
    for (int side = -1; side <= 1; side += 2) {
      ivec2 next = at + ivec2(0, side * k);
      bool inside = next.y >= 0 && next.y < size.y;
      vec2 found = inside ? texelFetch(rows, next, 0).xy : vec2(${BEYOND}.0, 0.0);
      best = min(best, length(vec2(k, seen ? found.y : found.x)));
    }
  return (best - 0.5) * metersPerSample;
}

void main() {
  ivec2 first = ivec2(gl_FragCoord.xy) * ${SUPERSAMPLE};
  color = vec4(0.0);
  stencil = vec4(0.0, 1e3, 0.0, 0.0);
  for (int k = 0; k < ${SUPERSAMPLE * SUPERSAMPLE}; k++) {
    ivec2 at = first + ivec2(k % ${SUPERSAMPLE}, k / ${SUPERSAMPLE});
    vec4 found = texelFetch(samples, at, 0);
    if (found.a == 0.0) continue;
    vec3 place = texelFetch(places, at, 0).xyz;
    float start = place.y, end = place.z, keep = 1.0;
    if (found.a == SEEN) {
      float gone = 1.0 - smoothStep((metersTo(at, true) - start) / (end - start));
      stencil.x += 1.0 - gone * gone;
    } else if (found.a == HIDDEN)
      keep = 1.0 - smoothStep((metersTo(at, false) - end) / (${HIDDEN_REACH - 1}.0 * end));
    if (keep > 0.0) stencil.y = min(stencil.y, place.x);
    color += vec4(found.rgb, 1.0) * keep;
  }
  color /= ${SUPERSAMPLE * SUPERSAMPLE}.0;
  stencil.x /= ${SUPERSAMPLE * SUPERSAMPLE}.0;
}`;

const BLUR_FRAGMENT = `
uniform sampler2D image;
uniform ivec2 size;
uniform ivec2 direction;
uniform int radius;
uniform float weights[${MAX_RADIUS + 1}];
out vec4 blurred;

void main() {
  ivec2 at = ivec2(gl_FragCoord.xy);
  blurred = texelFetch(image, at, 0) * weights[0];
  for (int k = 1; k <= radius; k++)
    for (int side = -1; side <= 1; side += 2) {
      ivec2 next = at + direction * side * k;
      bool inside = all(greaterThanEqual(next, ivec2(0))) && all(lessThan(next, size));
      if (inside) blurred += texelFetch(image, next, 0) * weights[k];
    }
}`;

/** The layer with its reflections into the image. */
const COMPOSE = `
uniform sampler2D image;
uniform sampler2D reflections;
uniform ivec4 box;
uniform float imageHeight;
uniform vec4 centers;
uniform vec2 radii;
out vec4 result;

float reflected(int eye, vec2 pixel) {
  vec2 at = ((pixel - (eye == 0 ? centers.xy : centers.zw)) / radii[eye] + 1.0) * 8.0 - 0.5;
  ivec2 low = ivec2(floor(at));
  vec2 part = at - vec2(low);
  float sum = 0.0;
  for (int k = 0; k < 4; k++) {
    ivec2 texel = low + ivec2(k & 1, k >> 1);
    if (any(lessThan(texel, ivec2(0))) || any(greaterThan(texel, ivec2(15)))) continue;
    vec2 weight = mix(1.0 - part, part, vec2(k & 1, k >> 1));
    sum += weight.x * weight.y * texelFetch(reflections, texel + ivec2(0, 16 * eye), 0).r;
  }
  return sum;
}

void main() {
  result = texelFetch(image, ivec2(gl_FragCoord.xy) - box.xy, 0);
  vec2 pixel = vec2(gl_FragCoord.x, imageHeight - gl_FragCoord.y);
  float added = 0.0;
  for (int eye = 0; eye < 2; eye++) if (radii[eye] > 0.0) added += reflected(eye, pixel);
  result.rgb += added * result.a;
}`;

export class LayerPass {
  /** @param {WebGL2RenderingContext} gl @param {LayerArrays} layer static arrays of the layer, from the worker */
  constructor(gl, layer) {
    this.gl = gl;
    this.mesh = new LayerMesh(gl, layer);
    this.longestFade = longestFadeOf(layer.fades);
    this.skin = new Target(gl, [], gl.DEPTH_COMPONENT24);
    this.samples = new Target(gl, [gl.RGBA16F, gl.RGBA16F], gl.DEPTH_COMPONENT24);
    this.rows = new Target(gl, [gl.RG16F]);
    this.pixels = new Target(gl, [gl.RGBA16F, gl.RG16F]);
    this.blurs = [new Target(gl, [gl.RGBA16F]), new Target(gl, [gl.RGBA16F])];
    this.rowsProgram = createProgram(gl, COVER, ROWS);
    this.resolveProgram = createProgram(gl, COVER, RESOLVE);
    this.blurProgram = createProgram(gl, COVER, BLUR_FRAGMENT);
    this.composeProgram = createProgram(gl, COVER, COMPOSE);
    this.reflections = createTexture(gl, gl.R32F, 16, 32);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, 16, 32, gl.RED, gl.FLOAT, layer.reflections);
  }

  /** Computes the images of the layer; empty where it is not in the image.
   * @param {LayerView} view
   * @param {Camera} camera @param {Float32Array} vertices @returns {LayerImages} */
  draw(view, camera, vertices) {
    const { gl } = this;
    const region = layerRegion(view, camera, this.longestFade);
    if (!region) return this.#images([0, 0, 0, 0], view);
    const { box, reach, weights } = region;
    this.mesh.upload(vertices);
    const size = [SUPERSAMPLE * box[2], SUPERSAMPLE * box[3]];
    this.skin.bind(size[0], size[1]);
    gl.clear(gl.DEPTH_BUFFER_BIT);
    this.mesh.drawSkin(view, camera, box);
    this.samples.bind(size[0], size[1]);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    this.mesh.drawFaces(view, camera, box, /** @type {WebGLTexture} */ (this.skin.depth));
    const [samples, places] = this.samples.textures;
    this.#cover(this.rows, size, this.rowsProgram, { samples }, ({ uniforms }) => {
      gl.uniform1i(uniforms.reach, reach);
      gl.uniform2iv(uniforms.size, size);
    });
    const textures = { samples, places, rows: this.rows.textures[0] };
    this.#cover(this.pixels, box.slice(2), this.resolveProgram, textures, ({ uniforms }) => {
      gl.uniform1i(uniforms.reach, reach);
      gl.uniform2iv(uniforms.size, size);
      gl.uniform1f(uniforms.metersPerSample, 1 / (SUPERSAMPLE * view.pixelsPerMeter));
    });
    let image = this.pixels.textures[0];
    this.blurs.forEach((target, axis) => {
      this.#cover(target, box.slice(2), this.blurProgram, { image }, ({ uniforms }) => {
        gl.uniform2iv(uniforms.size, box.slice(2));
        gl.uniform2i(uniforms.direction, 1 - axis, axis);
        gl.uniform1i(uniforms.radius, weights.length - 1);
        gl.uniform1fv(uniforms.weights, weights);
      });
      [image] = target.textures;
    });
    return this.#images(box, view);
  }

  /** @param {Box} box @param {LayerView} view @returns {LayerImages} */
  #images(box, view) {
    const [color] = this.blurs[1].textures, stencil = this.pixels.textures[1];
    return { color, stencil, box, middle: view.depth };
  }

  /** @param {Target} target @param {number[]} size @param {Program} program
   * @param {Object<string, WebGLTexture>} textures @param {(program: Program) => void} setUniforms */
  #cover(target, size, program, textures, setUniforms) {
    const { gl } = this;
    target.bind(size[0], size[1]);
    gl.useProgram(program.program);
    setUniforms(program);
    bindTextures(gl, program.uniforms, textures);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  /** Draws the layer into the bound target, which is empty.
   * @param {LayerImages} images @param {LayerView} view
   * @param {Camera} camera */
  compose({ box, color }, view, camera) {
    const { gl, composeProgram: { program, uniforms } } = this;
    if (!box[2]) return;
    gl.viewport(0, 0, camera.width, camera.height);
    gl.enable(gl.SCISSOR_TEST);
    gl.scissor(...box);
    gl.useProgram(program);
    gl.uniform4iv(uniforms.box, box);
    gl.uniform1f(uniforms.imageHeight, camera.height);
    gl.uniform4fv(uniforms.centers, view.reflections.slice(0, 4));
    gl.uniform2fv(uniforms.radii, view.reflections.slice(4));
    bindTextures(gl, uniforms, { image: color, reflections: this.reflections });
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    gl.disable(gl.SCISSOR_TEST);
  }
}
