/** The triangles of the mesh layer on the graphics card. */
import { bindTextures, createProgram, createTexture } from "./gl.js";
/** @import { LayerArrays, LayerView } from "../avatar/mesh_layer.js" */
/** @import { Camera } from "../avatar/projection.js" */
/** @import { Program } from "./gl.js" */

const WIDTH = 256; // of the texture of the vertices
const NODES = 15; // texels of a face
const FACES_PER_ROW = 64; // in the texture of the texels
const NEAR = 0.01;
const FAR = 20;

const PROJECT = `
uniform sampler2D vertices;
uniform mat3 rotation;
uniform vec3 translation;
uniform vec4 intrinsics;  // fx, fy, cx, cy
uniform vec4 region;      // x, y, width, height in pixels, y up from the lower edge
uniform float imageHeight;

vec4 project(vec3 point) {
  vec3 seen = rotation * point + translation;
  vec2 pixel = intrinsics.xy * seen.xy + intrinsics.zw * seen.z;  // times the depth
  pixel.y = imageHeight * seen.z - pixel.y;
  vec2 clip = 2.0 * (pixel - region.xy * seen.z) / region.zw - seen.z;
  float depth = (seen.z * float(${FAR} + NEAR_PLANE) - 2.0 * float(${FAR}) * NEAR_PLANE) / (float(${FAR}) - NEAR_PLANE);
  return vec4(clip, depth, seen.z);
}

vec4 vertexOf(uint index) {
  return texelFetch(vertices, ivec2(int(index) % ${WIDTH}, int(index) / ${WIDTH}), 0);
}`.replaceAll("NEAR_PLANE", String(NEAR)).replaceAll(`float(${FAR} + ${NEAR})`, String(FAR + NEAR));

const SKIN_VERTEX = `in uint vertex;${PROJECT}
void main() { gl_Position = project(vertexOf(vertex).xyz); }`;

const SKIN_FRAGMENT = "void main() {}";

const FACE_VERTEX = `in uint vertex;
in vec2 fades;
${PROJECT}
out vec3 bary;
out vec2 light;  // shade, depth
flat out vec2 fade;
flat out int face;

void main() {
  vec4 found = vertexOf(vertex);
  int corner = gl_VertexID % 3;
  bary = vec3(corner == 0, corner == 1, corner == 2);
  face = gl_VertexID / 3;
  fade = fades;
  gl_Position = project(found.xyz);
  light = vec2(found.w, gl_Position.w);
}`;

/** Classes of samples: behind the skin, part of the skin (in avatars whose skin is in the layer), seen. */
export const CLASSES = "#define HIDDEN 0.25\n#define SKIN 0.5\n#define SEEN 1.0\n";

const FACE_FRAGMENT = `
in vec3 bary;
in vec2 light;
flat in vec2 fade;
flat in int face;
uniform sampler2D texels;
uniform sampler2D skinDepth;
uniform float middle;
layout(location = 0) out vec4 color;  // and class
layout(location = 1) out vec4 place;  // depth from the middle, fades in meters
${CLASSES}
vec3 node(int i, int j) {
  int k = i * (11 - i) / 2 + j;
  return texelFetch(texels, ivec2(${NODES} * (face % ${FACES_PER_ROW}) + k, face / ${FACES_PER_ROW}), 0).rgb;
}

void main() {
  // Linear within each of the 16 triangles of a grid with four steps along each edge.
  vec2 at = clamp(bary.xy, 0.0, 1.0) * 4.0;
  int i = min(int(floor(at.x)), 3);
  int j = max(min(int(floor(at.y)), 3 - i), 0);
  vec2 rest = at - vec2(i, j);
  bool low = rest.x + rest.y <= 1.0;
  vec3 weights = low ? vec3(1.0 - rest.x - rest.y, rest) : vec3(rest.x + rest.y - 1.0, 1.0 - rest);
  weights = clamp(weights, 0.0, 1.0);
  vec3 first = low ? node(i, j) : node(i + 1, j + 1);
  vec3 second = low ? node(i + 1, j) : node(i, j + 1);
  vec3 third = low ? node(i, j + 1) : node(i + 1, j);
  bool skin = fade.y <= 0.0;
  bool front = gl_FragCoord.z <= texelFetch(skinDepth, ivec2(gl_FragCoord.xy), 0).r;
  color = vec4(first * weights.x + second * weights.y + third * weights.z, 0.0) * light.x;
  color.a = skin ? SKIN : front ? SEEN : HIDDEN;
  place = vec4(light.y - middle, fade, 0.0);
}`;

export class LayerMesh {
  /** @param {WebGL2RenderingContext} gl @param {LayerArrays} layer static arrays of the layer, from the worker */
  constructor(gl, layer) {
    this.gl = gl;
    this.faceCount = layer.faces.length / 3;
    this.skinCount = layer.skin.length;
    this.rows = Math.ceil(layer.vertexCount / WIDTH);
    this.vertices = createTexture(gl, gl.RGBA32F, WIDTH, this.rows);
    this.staging = new Float32Array(4 * WIDTH * this.rows);
    this.skinProgram = createProgram(gl, SKIN_VERTEX, SKIN_FRAGMENT);
    this.faceProgram = createProgram(gl, FACE_VERTEX, FACE_FRAGMENT);
    this.skin = vertexArray(gl, this.skinProgram.program, { vertex: layer.skin });
    const fades = new Float32Array(2 * layer.faces.length);
    for (let corner = 0; corner < layer.faces.length; corner++)
      for (let k = 0; k < 2; k++) fades[2 * corner + k] = layer.fades[2 * Math.floor(corner / 3) + k];
    this.faces = vertexArray(gl, this.faceProgram.program, { vertex: layer.faces, fades });
    this.texels = texelTexture(gl, layer, this.faceCount);
  }

  /** Uploads position and shade of the vertices [V,4]. */
  upload(/** @type {Float32Array} */ vertices) {
    const { gl } = this;
    this.staging.set(vertices);
    gl.bindTexture(gl.TEXTURE_2D, this.vertices);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, WIDTH, this.rows, gl.RGBA, gl.FLOAT, this.staging);
  }

  /** Draws the depth of the skin into the bound target.
   * @param {LayerView} view @param {Camera} camera @param {number[]} region */
  drawSkin(view, camera, region) {
    this.#draw(this.skinProgram, this.skin, this.skinCount, view, camera, region, { vertices: this.vertices });
  }

  /** Draws the faces of the layer into the bound target.
   * @param {LayerView} view @param {Camera} camera @param {number[]} region @param {WebGLTexture} skinDepth */
  drawFaces(view, camera, region, skinDepth) {
    const textures = { vertices: this.vertices, texels: this.texels, skinDepth };
    this.#draw(this.faceProgram, this.faces, 3 * this.faceCount, view, camera, region, textures);
  }

  /** @param {Program} program @param {WebGLVertexArrayObject} array @param {number} count @param {LayerView} view
   * @param {Camera} camera @param {number[]} region @param {Object<string, WebGLTexture>} textures */
  #draw({ program, uniforms }, array, count, view, camera, region, textures) {
    const { gl } = this;
    gl.useProgram(program);
    gl.uniformMatrix3fv(uniforms.rotation, true, view.rotation);
    gl.uniform3fv(uniforms.translation, view.translation);
    gl.uniform4f(uniforms.intrinsics, camera.fx, camera.fy, camera.cx, camera.cy);
    gl.uniform4fv(uniforms.region, region);
    gl.uniform1f(uniforms.imageHeight, camera.height);
    if (uniforms.middle) gl.uniform1f(uniforms.middle, view.depth);
    bindTextures(gl, uniforms, textures);
    gl.enable(gl.DEPTH_TEST);
    gl.bindVertexArray(array);
    gl.drawArrays(gl.TRIANGLES, 0, count);
    gl.bindVertexArray(null);
    gl.disable(gl.DEPTH_TEST);
  }
}

/** Static attributes by name: uint16 indices, or pairs of floats.
 * @param {WebGL2RenderingContext} gl @param {WebGLProgram} program
 * @param {Object<string, Uint16Array | Float32Array>} attributes @returns {WebGLVertexArrayObject} */
function vertexArray(gl, program, attributes) {
  const array = gl.createVertexArray();
  gl.bindVertexArray(array);
  for (const [name, values] of Object.entries(attributes)) {
    const place = gl.getAttribLocation(program, name);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
    gl.enableVertexAttribArray(place);
    if (values instanceof Uint16Array) gl.vertexAttribIPointer(place, 1, gl.UNSIGNED_SHORT, 0, 0);
    else gl.vertexAttribPointer(place, 2, gl.FLOAT, false, 0, 0);
  }
  gl.bindVertexArray(null);
  return array;
}

/** Texture with the texels of each face side by side.
 * @param {WebGL2RenderingContext} gl @param {LayerArrays} layer @param {number} faceCount @returns {WebGLTexture} */
function texelTexture(gl, { texelIds, texels }, faceCount) {
  const width = NODES * FACES_PER_ROW, rows = Math.max(Math.ceil(faceCount / FACES_PER_ROW), 1);
  const values = new Uint16Array(4 * width * rows);
  texelIds.forEach((id, at) => values.set(texels.subarray(3 * id, 3 * id + 3), 4 * at));
  const texture = createTexture(gl, gl.RGBA16F, width, rows);
  gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, width, rows, gl.RGBA, gl.HALF_FLOAT, values);
  return texture;
}
