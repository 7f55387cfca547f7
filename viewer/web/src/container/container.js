/** Reads a container, which may come from a stranger: every length, shape and index is checked. */
import { floatsOfHalves } from "./half.js";

const MAGIC = "HSPLTWEB";
const VERSION = 2;
const PREAMBLE = 24;
const AGAIN = "export or download it again";
const VIEWS = {
  i8: Int8Array, u8: Uint8Array, i16: Int16Array, u16: Uint16Array, u32: Uint32Array, f16: Uint16Array,
  f32: Float32Array,
};

/** @typedef {keyof typeof VIEWS} BlockType */
/** @typedef {Int8Array | Uint8Array | Int16Array | Uint16Array | Uint32Array | Float32Array} StoredNumbers of a block */

/** The entry of a block in the header, see docs/formats/web.md.
 * @typedef {Object} BlockEntry
 * @property {string} name
 * @property {BlockType} dtype
 * @property {number[]} shape
 * @property {number} offset bytes from the first block
 * @property {number[]} [scale] of each row of a quantized block
 * @property {number[]} [zero] of each row of a quantized block */

/** What every header has. @typedef {{format: string, blocks: BlockEntry[]}} ContainerHeader */

/** What a kind of container holds, and what its messages say.
 * @template {ContainerHeader} H
 * @typedef {Object} ContainerKind
 * @property {string} format of the header
 * @property {string} subject the container in a sentence
 * @property {string} stranger the sentence about data of another kind
 * @property {(header: H) => Object<string, string>} blocks type and shape of each block, where the first block with
 *   a letter sets its size
 * @property {Object<string, string>} indices blocks of indices, and the letter that they are smaller than
 */

/** A container that cannot be read; the message is one sentence for the page. */
export class ContainerError extends Error {}

/** @param {string} subject @param {string} what */
function damaged(subject, what) {
  return new ContainerError(`${subject} is damaged (${what}); ${AGAIN}.`);
}

/** CRC-32 (IEEE) of bytes. @param {Uint8Array} bytes @returns {number} */
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
 * @param {object} header @param {string} path keys with dots @param {number[]} shape
 * @param {string} [subject] the container in a sentence
 * @returns {Float64Array} */
export function numbersOf(header, path, shape, subject = "The avatar") {
  /** @type {unknown} */
  let value = header;
  for (const key of path.split(".")) value = /** @type {Record<string, unknown> | null | undefined} */ (value)?.[key];
  /** @type {number[]} */
  const out = [];
  if (!collect(value, shape, out)) throw damaged(subject, `numbers of ${path}`);
  return Float64Array.from(out);
}

/** A checked container: its header and its blocks. @template {ContainerHeader} H */
export class Container {
  #kind;

  /** @param {ArrayBuffer} buffer @param {ContainerKind<H>} kind */
  constructor(buffer, kind) {
    this.#kind = kind;
    const start = readPreamble(buffer, kind);
    /** Only its format is checked here, and its blocks. @type {H} */
    this.header = readHeader(buffer, start, kind);
    /** Sizes by letter, see `ContainerKind`. @type {Object<string, number>} */
    this.sizes = {};
    this.blocks = this.#readBlocks(buffer, start);
  }

  /** Values of a block as floats: dequantized, or converted from half precision.
   * @param {string} name @returns {Float32Array} */
  floats(name) {
    const { entry, view } = this.#block(name);
    if (entry.dtype === "f16") return floatsOfHalves(view);
    const { scale: scales, zero: zeros } = entry;
    if (!scales || !zeros) return Float32Array.from(view);
    const out = new Float32Array(view.length);
    const length = entry.shape[1];
    for (let row = 0; row < entry.shape[0]; row++) {
      const scale = scales[row], zero = zeros[row];
      for (let at = row * length; at < (row + 1) * length; at++) out[at] = scale * view[at] + zero;
    }
    return out;
  }

  /** The numbers of a block as they are stored. @param {string} name @returns {StoredNumbers} */
  raw(name) {
    return this.#block(name).view;
  }

  /** Scale of each row of a quantized block. @param {string} name @returns {number[]} */
  scales(name) {
    const { scale } = this.#block(name).entry;
    if (!scale) throw this.damaged(`scale of ${name}`);
    return scale;
  }

  /** Numbers of the header, see `numbersOf`. @param {string} path @param {number[]} shape */
  numbers(path, shape) {
    return numbersOf(this.header, path, shape, this.#kind.subject);
  }

  /** The error of a container whose `what` is wrong. @param {string} what */
  damaged(what) {
    return damaged(this.#kind.subject, what);
  }

  /** @param {string} name */
  #block(name) {
    const block = this.blocks.get(name);
    if (!block) throw this.damaged(`no block ${name}`);
    return block;
  }

  /** @param {ArrayBuffer} buffer @param {number} start */
  #readBlocks(buffer, start) {
    const entries = new Map(this.header.blocks.map((entry) => [entry?.name, entry]));
    /** @type {Map<string, {entry: BlockEntry, view: StoredNumbers}>} */
    const blocks = new Map();
    for (const [name, wanted] of Object.entries(this.#kind.blocks(this.header))) {
      const entry = entries.get(name);
      if (!entry) throw this.damaged(`no block ${name}`);
      this.#checkShape(entry, wanted);
      const view = viewOf(buffer, start, entry);
      if (!view) throw this.damaged(`place of ${name}`);
      blocks.set(name, { entry, view });
    }
    for (const [name, letter] of Object.entries(this.#kind.indices))
      if (blocks.get(name)?.view.some((index) => index >= this.sizes[letter]))
        throw this.damaged(`indices of ${name}`);
    return blocks;
  }

  /** @param {BlockEntry} entry @param {string} wanted */
  #checkShape(entry, wanted) {
    const [kinds, ...letters] = wanted.split(" ");
    const { name, shape } = entry;
    if (!kinds.split("|").includes(entry.dtype)) throw this.damaged(`type of ${name}`);
    if (!Array.isArray(shape) || shape.length !== letters.length) throw this.damaged(`shape of ${name}`);
    letters.forEach((letter, axis) => {
      const size = shape[axis];
      if (!Number.isInteger(size) || size < 0) throw this.damaged(`shape of ${name}`);
      const expected = Number(letter) || (this.sizes[letter] ??= size);
      if (size !== expected) throw this.damaged(`shape of ${name}`);
    });
    for (const key of /** @type {const} */ (["scale", "zero"])) {
      const rows = entry[key];
      if (rows && !(rows.length === shape[0] && rows.every(Number.isFinite))) throw this.damaged(`${key} of ${name}`);
    }
    if (/^i/.test(entry.dtype) && !(entry.scale && entry.zero)) throw this.damaged(`scale of ${name}`);
  }
}

/** Checks the fixed part; returns the byte where the JSON header ends and the blocks start.
 * @param {ArrayBuffer} buffer @param {{subject: string, stranger: string}} kind */
function readPreamble(buffer, { subject, stranger }) {
  const magic = new TextDecoder("latin1").decode(buffer.slice(0, 8));
  if (buffer.byteLength < PREAMBLE || magic !== MAGIC) throw new ContainerError(stranger);
  const [version, headerBytes, fileBytes, checksum] = new Uint32Array(buffer, 8, 4);
  if (version !== VERSION)
    throw new ContainerError(
      `${subject} has version ${version} and this page reads version ${VERSION}; export it again.`,
    );
  if (fileBytes !== buffer.byteLength)
    throw new ContainerError(
      `${subject} is incomplete (${buffer.byteLength} of ${fileBytes} bytes); ${AGAIN}.`,
    );
  const start = PREAMBLE + headerBytes;
  if (start > buffer.byteLength || start % 4) throw damaged(subject, "length of the header");
  if (crc32(new Uint8Array(buffer, PREAMBLE)) !== checksum) throw damaged(subject, "its checksum is another one");
  return start;
}

/** @param {ArrayBuffer} buffer @param {number} start @param {{format: string, subject: string}} kind */
function readHeader(buffer, start, { format, subject }) {
  let header;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(buffer.slice(PREAMBLE, start)));
  } catch {
    throw damaged(subject, "its header is not JSON");
  }
  if (header?.format !== format || !Array.isArray(header.blocks)) throw damaged(subject, "its header");
  return header;
}

/** The numbers of a block; null where they are not inside the container.
 * @param {ArrayBuffer} buffer @param {number} start @param {BlockEntry} entry @returns {StoredNumbers | null} */
function viewOf(buffer, start, entry) {
  const View = VIEWS[entry.dtype];
  const count = entry.shape.reduce((product, size) => product * size, 1);
  const end = start + entry.offset + count * View.BYTES_PER_ELEMENT;
  if (!Number.isInteger(entry.offset) || entry.offset < 0 || entry.offset % 4 || !(end <= buffer.byteLength))
    return null;
  return new View(buffer, start + entry.offset, count);
}

/** Appends the numbers of nested arrays to `out`; false where they are not of that shape.
 * @param {unknown} value @param {number[]} shape @param {number[]} out @returns {boolean} */
function collect(value, shape, out) {
  if (!shape.length) return typeof value === "number" && Number.isFinite(value) && out.push(value) > 0;
  if (!Array.isArray(value) || value.length !== shape[0]) return false;
  return value.every((entry) => collect(entry, shape.slice(1), out));
}
