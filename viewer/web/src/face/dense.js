/** Dense linear algebra of the least-squares fits: symmetric matrices by rows, in double precision. */

/** Edge of the tiles of `gramOf`, and rows that it takes at a time. */
const TILE = 3, PART = 234;

/** Number of columns, at least `count`, that `gramOf` takes. @param {number} count */
export function paddedCount(count) {
  return Math.ceil(count / TILE) * TILE;
}

/** Products of all pairs of columns.
 *
 * In tiles of 3 x 3, whose nine sums stay in registers, and in parts of the columns that fit in the cache together.
 * @param {Float64Array} columns [size,length] one column after another
 * @param {number} size from `paddedCount`
 * @param {number} length of a column
 * @param {Float64Array} out [size,size] */
export function gramOf(columns, size, length, out) {
  out.fill(0);
  for (let from = 0; from < length; from += PART)
    for (let i = 0; i < size; i += TILE)
      for (let j = 0; j <= i; j += TILE) addTile(out, columns, size, length, i, j, from, Math.min(from + PART, length));
  for (let i = 0; i < size; i++) for (let j = 0; j < i; j++) out[j * size + i] = out[i * size + j];
}

/** Adds the products of three columns with three others, of their rows `from` to before `to`.
 * @param {Float64Array} out @param {Float64Array} columns @param {number} size @param {number} length
 * @param {number} i @param {number} j @param {number} from @param {number} to */
function addTile(out, columns, size, length, i, j, from, to) {
  const a0 = i * length, a1 = a0 + length, a2 = a1 + length;
  const b0 = j * length, b1 = b0 + length, b2 = b1 + length;
  let s00 = 0, s01 = 0, s02 = 0, s10 = 0, s11 = 0, s12 = 0, s20 = 0, s21 = 0, s22 = 0;
  for (let k = from; k < to; k++) {
    const x0 = columns[a0 + k], x1 = columns[a1 + k], x2 = columns[a2 + k];
    const y0 = columns[b0 + k], y1 = columns[b1 + k], y2 = columns[b2 + k];
    s00 += x0 * y0, s01 += x0 * y1, s02 += x0 * y2;
    s10 += x1 * y0, s11 += x1 * y1, s12 += x1 * y2;
    s20 += x2 * y0, s21 += x2 * y1, s22 += x2 * y2;
  }
  const top = i * size + j, middle = top + size, bottom = middle + size;
  out[top] += s00, out[top + 1] += s01, out[top + 2] += s02;
  out[middle] += s10, out[middle + 1] += s11, out[middle + 2] += s12;
  out[bottom] += s20, out[bottom + 1] += s21, out[bottom + 2] += s22;
}

/** Replaces the lower triangle of a symmetric matrix by its Cholesky factor.
 * @param {Float64Array} matrix [size,size] @param {number} size
 * @returns {boolean} false where the matrix is not positive definite */
export function factorCholesky(matrix, size) {
  for (let i = 0; i < size; i++) {
    const row = i * size;
    for (let j = 0; j <= i; j++) {
      const other = j * size;
      let sum = matrix[row + j];
      for (let k = 0; k < j; k++) sum -= matrix[row + k] * matrix[other + k];
      if (j < i) matrix[row + j] = sum / matrix[other + j];
      else if (sum > 0 && sum < Infinity) matrix[row + i] = Math.sqrt(sum);
      else return false;
    }
  }
  return true;
}

/** Solves a system whose matrix `factorCholesky` has factored, in place.
 * @param {Float64Array} factor [size,size] @param {number} size
 * @param {Float64Array} vector [size] the right side, then the solution */
export function solveCholesky(factor, size, vector) {
  for (let i = 0; i < size; i++) {
    let sum = vector[i];
    for (let k = 0; k < i; k++) sum -= factor[i * size + k] * vector[k];
    vector[i] = sum / factor[i * size + i];
  }
  for (let i = size - 1; i >= 0; i--) {
    let sum = vector[i];
    for (let k = i + 1; k < size; k++) sum -= factor[k * size + i] * vector[k];
    vector[i] = sum / factor[i * size + i];
  }
}

/** Adds `factor` times a row of `rows` [n,length] to `out` [length].
 * @param {Float64Array} out @param {Float64Array} rows @param {number} row @param {number} factor */
export function addRow(out, rows, row, factor) {
  const start = row * out.length;
  for (let k = 0; k < out.length; k++) out[k] += factor * rows[start + k];
}

/** The largest absolute value of `values` from `start` to before `end`.
 * @param {ArrayLike<number>} values @param {number} [start] @param {number} [end] */
export function largest(values, start = 0, end = values.length) {
  let most = 0;
  for (let k = start; k < end; k++) most = Math.max(most, Math.abs(values[k]));
  return most;
}
