/** The rotation that fits two sets of directions best. */

const SWEEPS = 12;

/** The rotation R that maximizes trace(R^T m), by Horn's quaternion (1987, "Closed-form solution of absolute
 * orientation"): the eigenvector of a symmetric 4 x 4 matrix, which is never a reflection.
 * @param {number[]} m nine numbers by rows, such as the sum of `b a^T` over pairs with b = R a
 * @returns {number[]} by rows */
export function nearestRotation(m) {
  const [xx, xy, xz, yx, yy, yz, zx, zy, zz] = m;
  const [w, x, y, z] = topEigenvector([
    xx + yy + zz, zy - yz, xz - zx, yx - xy,
    zy - yz, xx - yy - zz, xy + yx, xz + zx,
    xz - zx, xy + yx, yy - xx - zz, yz + zy,
    yx - xy, xz + zx, yz + zy, zz - xx - yy,
  ]);
  return [
    1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
    2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
    2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
  ];
}

/** Unit eigenvector of the largest eigenvalue of a symmetric 4 x 4 matrix, by Jacobi rotations (Golub and Van Loan,
 * "Matrix Computations", section 8.5).
 * @param {number[]} a @returns {number[]} */
function topEigenvector(a) {
  const vectors = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
  for (let sweep = 0; sweep < SWEEPS; sweep++)
    for (let p = 0; p < 3; p++) for (let q = p + 1; q < 4; q++) annihilate(a, vectors, p, q);
  let best = 0;
  for (let k = 1; k < 4; k++) if (a[5 * k] > a[5 * best]) best = k;
  return [0, 1, 2, 3].map((row) => vectors[4 * row + best]);
}

/** Rotates the axes p and q so that the entry between them becomes zero.
 * @param {number[]} a @param {number[]} vectors @param {number} p @param {number} q */
function annihilate(a, vectors, p, q) {
  const entry = a[4 * p + q];
  if (entry === 0) return;
  const ratio = (a[5 * q] - a[5 * p]) / (2 * entry);
  const tangent = (ratio < 0 ? -1 : 1) / (Math.abs(ratio) + Math.hypot(1, ratio));
  const cosine = 1 / Math.hypot(1, tangent), sine = tangent * cosine;
  /** @type {(values: number[], first: number, second: number) => void} */
  const turn = (values, first, second) => {
    const one = values[first], two = values[second];
    values[first] = cosine * one - sine * two;
    values[second] = sine * one + cosine * two;
  };
  for (let k = 0; k < 4; k++) turn(a, 4 * k + p, 4 * k + q);
  for (let k = 0; k < 4; k++) turn(a, 4 * p + k, 4 * q + k);
  for (let k = 0; k < 4; k++) turn(vectors, 4 * k + p, 4 * k + q);
}
