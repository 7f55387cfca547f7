/** The sentence in the metadata of saved images and videos that no camera filmed them; as avatar/common/made_note.py. */
import { crc32 } from "../container/container.js";

const PNG_HEADER_END = 33; // signature and the chunk IHDR
/** Elements of a WebM file (RFC 9559). */
const SEGMENT = 0x18538067, CLUSTER = 0x1f43b675;
const TAGS = [0x12, 0x54, 0xc3, 0x67], TAG = [0x73, 0x73], TARGETS = [0x63, 0xc0], SIMPLE_TAG = [0x67, 0xc8];
const TAG_NAME = [0x45, 0xa3], TAG_STRING = [0x44, 0x87];

/** The sentence, as the page has it. @returns {string} */
function madeNote() {
  return document.querySelector('meta[name="description"]')?.getAttribute("content") ?? "";
}

/** A PNG file with the sentence as its comment. @param {Uint8Array<ArrayBuffer>} file @param {string} note
 * @returns {BlobPart[]} */
export function notedPicture(file, note = madeNote()) {
  const data = new TextEncoder().encode(`tEXtComment\0${note}`), chunk = new Uint8Array(data.length + 8);
  const view = new DataView(chunk.buffer);
  view.setUint32(0, data.length - 4);
  chunk.set(data, 4);
  view.setUint32(data.length + 4, crc32(data));
  return [file.slice(0, PNG_HEADER_END), chunk, file.slice(PNG_HEADER_END)];
}

/** A WebM file of a browser's recorder with the sentence as its comment, before its first frames; the file as it is where it
 * has another structure: a segment of known length, for example.
 * @param {Uint8Array<ArrayBuffer>} file @param {string} note @returns {BlobPart[]} */
export function notedVideo(file, note = madeNote()) {
  const place = firstCluster(file);
  if (place === null) return [file];
  const text = new TextEncoder();
  const simple = [...element(TAG_NAME, text.encode("COMMENT")), ...element(TAG_STRING, text.encode(note))];
  const tags = element(TAGS, element(TAG, [...element(TARGETS, []), ...element(SIMPLE_TAG, simple)]));
  return [file.slice(0, place), new Uint8Array(tags), file.slice(place)];
}

/** An element whose content is shorter than 2^14 bytes. @param {number[]} id @param {ArrayLike<number>} content */
function element(id, content) {
  return [...id, 0x40 | (content.length >> 8), content.length & 255, ...Array.from(content)];
}

/** Place of the first frames in a file of one segment of unknown length; null where there is none.
 * @param {Uint8Array} file @returns {number | null} */
function firstCluster(file) {
  let at = 0;
  while (at < file.length) {
    const id = number(file, at, false), size = id && number(file, id.end, true);
    if (!id || !size) return null;
    if (id.value === CLUSTER) return at;
    if (id.value === SEGMENT) {
      if (!size.isUnknown) return null;
      at = size.end;
    } else at = size.end + size.value;
  }
  return null;
}

/** A number of variable length (RFC 8794): an id with the bit that marks its length, a size without it.
 * @param {Uint8Array} file @param {number} at @param {boolean} isSize */
function number(file, at, isSize) {
  const length = Math.clz32(file[at]) - 23;
  if (!(length <= 8) || at + length > file.length) return null;
  let value = isSize ? file[at] & (0xff >> length) : file[at], isUnknown = value === 0xff >> length;
  for (let k = 1; k < length; k++) {
    value = 256 * value + file[at + k];
    isUnknown &&= file[at + k] === 255;
  }
  return { value, isUnknown, end: at + length };
}
