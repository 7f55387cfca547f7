/** Typed arrays that are used again from frame to frame. */

/** `array`, or a larger one of its type where it has less than `length` numbers.
 * @template {Uint8Array | Uint16Array | Uint32Array | Float32Array | Float64Array} T
 * @param {T} array @param {number} length @returns {T} */
export function grown(array, length) {
  if (array.length >= length) return array;
  const Kind = /** @type {new (length: number) => T} */ (array.constructor);
  return new Kind(Math.ceil(1.25 * length));
}
