/** Short forms of WebGL2 calls. */

/** @typedef {Object<string, WebGLUniformLocation | null>} Uniforms */
/** @typedef {{program: WebGLProgram, uniforms: Uniforms}} Program */

/** A linked program and the places of its uniforms.
 * @param {WebGL2RenderingContext} gl @param {string} vertexSource @param {string} fragmentSource @returns {Program} */
export function createProgram(gl, vertexSource, fragmentSource) {
  const program = gl.createProgram();
  /** @type {[number, string][]} */
  const stages = [[gl.VERTEX_SHADER, vertexSource], [gl.FRAGMENT_SHADER, fragmentSource]];
  for (const [type, source] of stages) {
    const shader = /** @type {WebGLShader} */ (gl.createShader(type));
    gl.shaderSource(shader, `#version 300 es\nprecision highp float;\nprecision highp sampler2D;\n${source}`);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS) && !gl.isContextLost())
      throw new Error(gl.getShaderInfoLog(shader) ?? "a shader cannot be compiled");
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost())
    throw new Error(gl.getProgramInfoLog(program) ?? "a program cannot be linked");
  /** @type {Uniforms} */
  const uniforms = {};
  for (let k = 0; k < gl.getProgramParameter(program, gl.ACTIVE_UNIFORMS); k++) {
    const { name: found } = /** @type {WebGLActiveInfo} */ (gl.getActiveUniform(program, k));
    const name = found.replace("[0]", "");
    uniforms[name] = gl.getUniformLocation(program, name);
  }
  return { program, uniforms };
}

/** A texture that is read texel by texel.
 * @param {WebGL2RenderingContext} gl @param {number} format sized internal format @param {number} width
 * @param {number} height @returns {WebGLTexture} */
export function createTexture(gl, format, width, height) {
  const texture = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, texture);
  gl.texStorage2D(gl.TEXTURE_2D, 1, format, width, height);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
  return texture;
}

/** Textures that are drawn to, of one size that may grow. */
export class Target {
  /** @param {WebGL2RenderingContext} gl @param {number[]} formats of the colors @param {number} [depthFormat] */
  constructor(gl, formats, depthFormat) {
    this.gl = gl;
    this.formats = formats;
    this.depthFormat = depthFormat;
    this.width = this.height = 0;
    /** @type {WebGLTexture[]} */
    this.textures = [];
    /** @type {WebGLTexture | null} */
    this.depth = null;
    /** @type {WebGLFramebuffer | null} */
    this.framebuffer = null;
  }

  /** Makes it at least `width` x `height` pixels, binds it and sets the viewport to that size.
   * @param {number} width @param {number} height */
  bind(width, height) {
    const { gl } = this;
    if (width > this.width || height > this.height) this.#allocate(width, height);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.framebuffer);
    gl.viewport(0, 0, width, height);
  }

  /** @param {number} width @param {number} height */
  #allocate(width, height) {
    const { gl } = this;
    this.dispose();
    this.width = Math.max(width, this.width);
    this.height = Math.max(height, this.height);
    this.framebuffer = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.framebuffer);
    const create = (/** @type {number} */ format, /** @type {number} */ attachment) => {
      const texture = createTexture(gl, format, this.width, this.height);
      gl.framebufferTexture2D(gl.FRAMEBUFFER, attachment, gl.TEXTURE_2D, texture, 0);
      return texture;
    };
    this.textures = this.formats.map((format, k) => create(format, gl.COLOR_ATTACHMENT0 + k));
    this.depth = this.depthFormat ? create(this.depthFormat, gl.DEPTH_ATTACHMENT) : null;
    gl.drawBuffers(this.textures.length ? this.textures.map((_, k) => gl.COLOR_ATTACHMENT0 + k) : [gl.NONE]);
    if (gl.checkFramebufferStatus(gl.FRAMEBUFFER) !== gl.FRAMEBUFFER_COMPLETE && !gl.isContextLost())
      throw new Error("a render target is not supported");
  }

  dispose() {
    const { gl } = this;
    for (const texture of [...this.textures, this.depth]) if (texture) gl.deleteTexture(texture);
    if (this.framebuffer) gl.deleteFramebuffer(this.framebuffer);
  }
}

/** Binds textures to the samplers of a program in order.
 * @param {WebGL2RenderingContext} gl @param {Uniforms} uniforms
 * @param {Object<string, WebGLTexture>} textures by uniform */
export function bindTextures(gl, uniforms, textures) {
  Object.entries(textures).forEach(([name, texture], unit) => {
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.uniform1i(uniforms[name], unit);
  });
}

/** Vertex shader of a triangle that covers the viewport. */
export const COVER = `
void main() {
  gl_Position = vec4(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0, 0.0, 1.0);
}`;
