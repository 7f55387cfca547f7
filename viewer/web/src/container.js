/** Reads the container of an avatar, which may come from a stranger: every length, shape and index is checked. */
import { floatsOfHalves } from "./half.js";

const MAGIC = "HSPLTWEB";
const VERSION = 1;
const PREAMBLE = 24;
const AGAIN = "export or download it again";
const VIEWS = {
  i8: Int8Array, u8: Uint8Array, i16: Int16Array, u16: Uint16Array, u32: Uint32Array, f16: Uint16Array,
  f32: Float32Array,
};

/** Type and shape of each block. The first block with a letter sets its size: V vertices, S bases of the mesh, N
 * Gaussians, M of them blended, T faces of the layer, X its texels, F frames. */
const SCHEMA = {
  "head.template": "f32 V 3",
  "head.base_counts": "u32 S",
  "head.base_vertices": "u16 O",
  "head.base_offsets": "f16 O 3",
  "head.bent_vertices": "u16 B",
  "head.bent_weights": "f32 B 3",
  "gaussians.offsets": "i16 3 N",
  "gaussians.quats": "i16 4 N",
  "gaussians.log_scales": "i16 3 N",
  "gaussians.colors": "i16 3 N",
  "gaussians.logit_opacities": "i16 1 N",
  "gaussians.triangles": "u16 N 3",
  "gaussians.bary": "u16 N 2",
  "gaussians.torso_weights": "u16 N",
  "gaussians.basis": "i8 C M",
  "gaussians.stretch_faces": "u16 G 3",
  "gaussians.stretches": "u8 V",
};
const LAYER_SCHEMA = {
  "layer.faces": "u16 T 3",
  "layer.texel_ids": "u16|u32 T 15",
  "layer.texels": "f16 X 3",
  "layer.fades": "f32 T 2",
  "layer.skin": "u16 K 3",
  "layer.gaussian_fades": "u8 N",
  "layer.mouth_vertices": "u16 L",
  "layer.mouth_normals": "f16 L 3",
  "layer.eyes": "u16 2 E",
  "layer.irises": "u16 2 I",
  "layer.reflections": "f16 2 16 16",
};
const MOTION_SCHEMA = {
  "motion.times": "f32 F",
  "motion.expression": "i16 W F",
  "motion.joint_rot": "f32 15 F",
  "motion.translation": "f32 3 F",
};
const TORSO_SCHEMA = { "motion.torso": "f32 6 F" };
/** Blocks of indices, and the letter that they are smaller than. */
const INDICES = {
  "head.base_vertices": "V", "head.bent_vertices": "V", "gaussians.triangles": "V", "gaussians.stretch_faces": "V",
  "layer.faces": "V", "layer.skin": "V", "layer.mouth_vertices": "V", "layer.eyes": "V", "layer.irises": "V",
  "layer.texel_ids": "X",
};

/** A container that cannot be read; the message is one sentence for the page. */
export class ContainerError extends Error {}

function damaged(what) {
  return new ContainerError(`The avatar is damaged (${what}); ${AGAIN}.`);
}

/** CRC-32 (IEEE) of bytes. */
export function crc32(bytes) {
  const table = new Uint32Array(256);
  for (let n = 0; n < 256; n++) {
    let value = n;
    for (let k = 0; k < 8; k++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
    table[n] = value;
  }
  let crc = 0xffffffff;
  for (let index = 0; index < bytes.length; index++) crc = table[(crc ^ bytes[index]) & 255] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/** Numbers of a header at a path of keys, checked against a shape, as one flat array.
 * @param {Object} header @param {string} path keys with dots @param {number[]} shape
 * @returns {Float64Array} */
export function numbersOf(header, path, shape) {
  let value = header;
  for (const key of path.split(".")) value = value?.[key];
  const out = [];
  collect(value, shape, out, path);
  return Float64Array.from(out);
}

/** A checked container: its header and its blocks. */
export class Container {
  /** @param {ArrayBuffer} buffer */
  constructor(buffer) {
    const start = readPreamble(buffer);
    this.header = readHeader(buffer, start);
    /** Sizes by letter, see SCHEMA. @type {Object<string, number>} */
    this.sizes = {};
    this.blocks = this.#readBlocks(buffer, start);
  }

  /** Values of a block as floats: dequantized, or converted from half precision.
   * @returns {Float32Array} */
  floats(name) {
    const { entry, view } = this.#block(name);
    if (entry.dtype === "f16") return floatsOfHalves(view);
    if (!entry.scale) return Float32Array.from(view);
    const out = new Float32Array(view.length);
    const length = entry.shape[1];
    for (let row = 0; row < entry.shape[0]; row++) {
      const scale = entry.scale[row], zero = entry.zero[row];
      for (let at = row * length; at < (row + 1) * length; at++) out[at] = scale * view[at] + zero;
    }
    return out;
  }

  /** The numbers of a block as they are stored. */
  raw(name) {
    return this.#block(name).view;
  }

  /** Scale of each row of a quantized block. */
  scales(name) {
    return this.#block(name).entry.scale;
  }

  /** Numbers of the header, see `numbersOf`. */
  numbers(path, shape) {
    return numbersOf(this.header, path, shape);
  }

  #block(name) {
    const block = this.blocks.get(name);
    if (!block) throw damaged(`no block ${name}`);
    return block;
  }

  #readBlocks(buffer, start) {
    const { header } = this;
    const schema = {
      ...SCHEMA, ...(header.layer ? LAYER_SCHEMA : {}), ...(header.motion ? MOTION_SCHEMA : {}),
      ...(header.motion?.torso ? TORSO_SCHEMA : {}),
    };
    const entries = new Map(header.blocks.map((entry) => [entry?.name, entry]));
    const blocks = new Map();
    for (const [name, wanted] of Object.entries(schema)) {
      const entry = entries.get(name);
      if (!entry) throw damaged(`no block ${name}`);
      this.#checkShape(entry, wanted);
      const view = viewOf(buffer, start, entry);
      blocks.set(name, { entry, view });
    }
    for (const [name, letter] of Object.entries(INDICES))
      if (blocks.has(name)) checkIndices(name, blocks.get(name).view, this.sizes[letter]);
    return blocks;
  }

  #checkShape(entry, wanted) {
    const [kinds, ...letters] = wanted.split(" ");
    const { name, shape } = entry;
    if (!kinds.split("|").includes(entry.dtype)) throw damaged(`type of ${name}`);
    if (!Array.isArray(shape) || shape.length !== letters.length) throw damaged(`shape of ${name}`);
    letters.forEach((letter, axis) => {
      const size = shape[axis];
      if (!Number.isInteger(size) || size < 0) throw damaged(`shape of ${name}`);
      const expected = Number(letter) || (this.sizes[letter] ??= size);
      if (size !== expected) throw damaged(`shape of ${name}`);
    });
    for (const key of ["scale", "zero"])
      if (entry[key] && !(entry[key].length === shape[0] && entry[key].every(Number.isFinite)))
        throw damaged(`${key} of ${name}`);
    if (/^i/.test(entry.dtype) && !(entry.scale && entry.zero)) throw damaged(`scale of ${name}`);
  }
}

/** Checks the fixed part; returns the byte where the JSON header ends and the blocks start. */
function readPreamble(buffer) {
  const magic = new TextDecoder("latin1").decode(buffer.slice(0, 8));
  if (buffer.byteLength < PREAMBLE || magic !== MAGIC)
    throw new ContainerError("The data is not an avatar for the web; make the page with headsplat export.");
  const [version, headerBytes, fileBytes, checksum] = new Uint32Array(buffer, 8, 4);
  if (version !== VERSION)
    throw new ContainerError(
      `The avatar has version ${version} and this page reads version ${VERSION}; export it again.`,
    );
  if (fileBytes !== buffer.byteLength)
    throw new ContainerError(
      `The avatar is incomplete (${buffer.byteLength} of ${fileBytes} bytes); ${AGAIN}.`,
    );
  const start = PREAMBLE + headerBytes;
  if (start > buffer.byteLength || start % 4) throw damaged("length of the header");
  if (crc32(new Uint8Array(buffer, PREAMBLE)) !== checksum) throw damaged("its checksum is another one");
  return start;
}

function readHeader(buffer, start) {
  let header;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(buffer.slice(PREAMBLE, start)));
  } catch {
    throw damaged("its header is not JSON");
  }
  if (header?.format !== "headsplat-web" || !Array.isArray(header.blocks)) throw damaged("its header");
  return header;
}

function viewOf(buffer, start, entry) {
  const View = VIEWS[entry.dtype];
  const count = entry.shape.reduce((product, size) => product * size, 1);
  const end = start + entry.offset + count * View.BYTES_PER_ELEMENT;
  if (!Number.isInteger(entry.offset) || entry.offset < 0 || entry.offset % 4 || !(end <= buffer.byteLength))
    throw damaged(`place of ${entry.name}`);
  return new View(buffer, start + entry.offset, count);
}

function checkIndices(name, view, limit) {
  for (let index = 0; index < view.length; index++) if (view[index] >= limit) throw damaged(`indices of ${name}`);
}

function collect(value, shape, out, path) {
  if (!shape.length) {
    if (!Number.isFinite(value)) throw damaged(`numbers of ${path}`);
    out.push(value);
    return;
  }
  if (!Array.isArray(value) || value.length !== shape[0]) throw damaged(`numbers of ${path}`);
  for (const entry of value) collect(entry, shape.slice(1), out, path);
}
