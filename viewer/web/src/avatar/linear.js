/** Rotations as matrices (9 numbers by rows), quaternions (wxyz) and axis-angle vectors (radians). */

/** Rotation matrix of an axis-angle vector (Rodrigues), smooth at zero.
 * @param {Iterable<number>} vector @returns {number[]} */
export function rotationOf([x, y, z]) {
  const squared = x * x + y * y + z * z;
  const angle = Math.sqrt(squared);
  const sine = squared < 1e-8 ? 1 - squared / 6 : Math.sin(angle) / angle;
  const cosine = squared < 1e-8 ? 0.5 - squared / 24 : (1 - Math.cos(angle)) / squared;
  return [
    1 - cosine * (y * y + z * z), cosine * x * y - sine * z, cosine * x * z + sine * y,
    cosine * x * y + sine * z, 1 - cosine * (x * x + z * z), cosine * y * z - sine * x,
    cosine * x * z - sine * y, cosine * y * z + sine * x, 1 - cosine * (x * x + y * y),
  ];
}

/** Unit quaternion of a rotation matrix, by the largest of its four components.
 * @param {ArrayLike<number>} m @returns {number[]} */
export function quatOf(m) {
  const trace = [m[0] + m[4] + m[8], m[0] - m[4] - m[8], m[4] - m[0] - m[8], m[8] - m[0] - m[4]];
  const best = trace.indexOf(Math.max(...trace));
  const rows = [
    [1 + trace[0], m[7] - m[5], m[2] - m[6], m[3] - m[1]],
    [m[7] - m[5], 1 + trace[1], m[1] + m[3], m[2] + m[6]],
    [m[2] - m[6], m[1] + m[3], 1 + trace[2], m[5] + m[7]],
    [m[3] - m[1], m[2] + m[6], m[5] + m[7], 1 + trace[3]],
  ];
  const length = Math.hypot(...rows[best]);
  return rows[best].map((value) => value / length);
}

/** Axis-angle vector, angle 0..pi, of a rotation matrix. @param {ArrayLike<number>} matrix @returns {number[]} */
export function axisAngleOf(matrix) {
  let [w, x, y, z] = quatOf(matrix);
  if (w < 0) [w, x, y, z] = [-w, -x, -y, -z];
  const norm = Math.hypot(x, y, z);
  const factor = norm < 1e-8 ? 2 : (2 * Math.atan2(norm, w)) / norm;
  return [x * factor, y * factor, z * factor];
}

/** Writes the rotation matrix of a unit quaternion into `out` at `start`.
 * @param {Float32Array | Float64Array | number[]} out @param {number} start @param {number} w @param {number} x
 * @param {number} y @param {number} z */
export function writeMatrix(out, start, w, x, y, z) {
  out[start] = 1 - 2 * (y * y + z * z);
  out[start + 1] = 2 * (x * y - w * z);
  out[start + 2] = 2 * (x * z + w * y);
  out[start + 3] = 2 * (x * y + w * z);
  out[start + 4] = 1 - 2 * (x * x + z * z);
  out[start + 5] = 2 * (y * z - w * x);
  out[start + 6] = 2 * (x * z - w * y);
  out[start + 7] = 2 * (y * z + w * x);
  out[start + 8] = 1 - 2 * (x * x + y * y);
}

/** Product of two matrices. @param {ArrayLike<number>} a @param {ArrayLike<number>} b @returns {number[]} */
export function multiply(a, b) {
  const out = new Array(9);
  for (let row = 0; row < 9; row += 3)
    for (let column = 0; column < 3; column++)
      out[row + column] = a[row] * b[column] + a[row + 1] * b[column + 3] + a[row + 2] * b[column + 6];
  return out;
}

/** The transposed matrix. @param {ArrayLike<number>} m @returns {number[]} */
export function transposed(m) {
  return [m[0], m[3], m[6], m[1], m[4], m[7], m[2], m[5], m[8]];
}

/** Product of a matrix and a vector.
 * @param {ArrayLike<number>} m @param {Iterable<number>} vector @returns {number[]} */
export function apply(m, [x, y, z]) {
  return [m[0] * x + m[1] * y + m[2] * z, m[3] * x + m[4] * y + m[5] * z, m[6] * x + m[7] * y + m[8] * z];
}

/** Sum of two vectors. @param {number[]} a @param {ArrayLike<number>} b @returns {number[]} */
export function add(a, b) {
  return a.map((value, index) => value + b[index]);
}

/** Difference of two vectors. @param {number[]} a @param {ArrayLike<number>} b @returns {number[]} */
export function subtract(a, b) {
  return a.map((value, index) => value - b[index]);
}

/** A vector times a number. @param {number[]} a @param {number} factor @returns {number[]} */
export function scaled(a, factor) {
  return a.map((value) => value * factor);
}

/** Cross product of two vectors. @param {ArrayLike<number>} a @param {ArrayLike<number>} b @returns {number[]} */
export function cross(a, b) {
  return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
}

/** A vector of length 1 in the direction of `a`. @param {number[]} a @returns {number[]} */
export function normalized(a) {
  return scaled(a, 1 / Math.max(Math.hypot(...a), 1e-12));
}

/** Rotation between two matrices along the shortest arc, `part` 0..1.
 * @param {number[]} a @param {number[]} b @param {number} part @returns {number[]} */
export function rotationBetween(a, b, part) {
  return multiply(a, rotationOf(scaled(axisAngleOf(multiply(transposed(a), b)), part)));
}

/** `value`, at least `low` and at most `high`.
 * @param {number} value @param {number} low @param {number} high @returns {number} */
export function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

/** The number itself. @param {unknown} value @returns {number} @throws {TypeError} where it is none, or infinite */
export function finite(value) {
  if (typeof value !== "number" || !Number.isFinite(value)) throw new TypeError(`expected a number, got ${value}`);
  return value;
}
