/** Arrays of an untrusted .npz file: a ZIP archive of .npy members. Every size is checked, nothing is evaluated. */

const END = 0x06054b50, ENTRY = 0x02014b50, LOCAL = 0x04034b50;
const END_BYTES = 22, ENTRY_BYTES = 46, LOCAL_BYTES = 30;
const MAX_COMMENT = 65535;
const MAX_MEMBERS = 1000;
const MAX_BYTES = 1 << 28; // of all members, unpacked
const STORED = 0, DEFLATED = 8;
const NPY = /^\{'descr': *'[<|]([fiu][1248])', *'fortran_order': *False, *'shape': *\(([\d, ]*)\) *,? *\}\s*$/;
/** Bytes of a number, and what reads it.
 * @type {Record<string, [number, "getFloat32" | "getFloat64" | "getUint8" | "getInt8" | "getUint16" | "getInt16" |
 *   "getUint32" | "getInt32"]>} */
const READERS = {
  f4: [4, "getFloat32"], f8: [8, "getFloat64"], u1: [1, "getUint8"], i1: [1, "getInt8"], u2: [2, "getUint16"],
  i2: [2, "getInt16"], u4: [4, "getUint32"], i4: [4, "getInt32"],
};

/** An archive that cannot be read; the message is a reason without a period. */
export class NpzError extends Error {}

/** An array of numbers. @typedef {{shape: number[], values: Float64Array}} NumberArray */

/** A member of the archive: compression, bytes packed and unpacked, place of its own header.
 * @typedef {{method: number, packed: number, size: number, offset: number, name: string}} Member */

/** Whether data looks like an archive. @param {ArrayBuffer} buffer */
export function isArchive(buffer) {
  return buffer.byteLength > END_BYTES && new DataView(buffer).getUint32(0, true) === LOCAL;
}

/** The arrays of an archive by name. @param {ArrayBuffer} buffer @param {string[]} names those to read, where present
 * @returns {Promise<Map<string, NumberArray>>} */
export async function readNpz(buffer, names) {
  const view = new DataView(buffer), arrays = new Map();
  let total = 0;
  try {
    for (const entry of entriesOf(view)) {
      const name = entry.name.replace(/\.npy$/, "");
      if (!names.includes(name)) continue;
      total += entry.size;
      if (total > MAX_BYTES) throw new NpzError(`more than ${MAX_BYTES >> 20} MB`);
      arrays.set(name, arrayOf(name, await unpacked(view, entry)));
    }
  } catch (error) {
    if (error instanceof RangeError || error instanceof TypeError) throw new NpzError("incomplete or damaged");
    throw error;
  }
  return arrays;
}

/** The members that the directory at the end of the archive lists.
 * @param {DataView<ArrayBuffer>} view @returns {Member[]} */
function entriesOf(view) {
  const last = view.byteLength - END_BYTES;
  let end = last;
  while (end >= 0 && end >= last - MAX_COMMENT && view.getUint32(end, true) !== END) end--;
  if (end < 0 || view.getUint32(end, true) !== END) throw new NpzError("incomplete or damaged");
  const count = view.getUint16(end + 10, true);
  if (count > MAX_MEMBERS) throw new NpzError(`${count} members`);
  let at = view.getUint32(end + 16, true);
  return Array.from({ length: count }, () => {
    if (view.getUint32(at, true) !== ENTRY) throw new NpzError("damaged directory");
    const [nameBytes, extra, comment] = [28, 30, 32].map((offset) => view.getUint16(at + offset, true));
    const entry = {
      method: view.getUint16(at + 10, true),
      packed: view.getUint32(at + 20, true),
      size: view.getUint32(at + 24, true),
      offset: view.getUint32(at + 42, true),
      name: new TextDecoder().decode(new Uint8Array(view.buffer, at + ENTRY_BYTES, nameBytes)),
    };
    at += ENTRY_BYTES + nameBytes + extra + comment;
    return entry;
  });
}

/** The bytes of a member; never more than it declares.
 * @param {DataView<ArrayBuffer>} view @param {Member} member @returns {Promise<Uint8Array>} */
async function unpacked(view, { method, packed, size, offset, name }) {
  if (view.getUint32(offset, true) !== LOCAL) throw new NpzError(`damaged member ${name}`);
  const start = offset + LOCAL_BYTES + view.getUint16(offset + 26, true) + view.getUint16(offset + 28, true);
  const data = new Uint8Array(view.buffer, start, packed);
  if (method === STORED && packed === size) return data;
  if (method !== DEFLATED) throw new NpzError(`compression of ${name}`);
  const out = new Uint8Array(size);
  const reader = new Blob([data]).stream().pipeThrough(new DecompressionStream("deflate-raw")).getReader();
  let at = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    if (at + part.value.length > size) {
      await reader.cancel();
      throw new NpzError(`size of ${name}`);
    }
    out.set(part.value, at);
    at += part.value.length;
  }
  if (at !== size) throw new NpzError(`size of ${name}`);
  return out;
}

/** The numbers of a .npy member in C order. @param {string} name @param {Uint8Array} bytes @returns {NumberArray} */
function arrayOf(name, bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const isWide = view.getUint8(6) > 1;
  const start = isWide ? 12 : 10;
  const data = start + (isWide ? view.getUint32(8, true) : view.getUint16(8, true));
  const text = new TextDecoder("latin1").decode(bytes.subarray(start, data));
  const found = NPY.exec(text);
  const reader = found && READERS[found[1]];
  if (!found || !reader) throw new NpzError(`type of ${name}`);
  const shape = found[2].split(",").filter((size) => size.trim()).map(Number);
  const count = shape.reduce((product, size) => product * size, 1);
  const [bytesEach, read] = reader;
  if (data + count * bytesEach !== bytes.length) throw new NpzError(`size of ${name}`);
  const values = new Float64Array(count);
  for (let k = 0; k < count; k++) values[k] = view[read](data + k * bytesEach, true);
  return { shape, values };
}
