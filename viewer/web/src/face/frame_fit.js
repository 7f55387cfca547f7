/** Pose and expression of one frame: box-constrained Gauss-Newton on the landmarks and the priors. */
import { factorCholesky, largest, solveCholesky } from "./dense.js";
import { axisAngleOf, clamp, multiply, rotationOf, transposed } from "../avatar/linear.js";
import { POSE } from "./linearization.js";
/** @import { FaceState, FrameProblem, Linearization } from "./linearization.js" */

/** Active-set iterations of a step. */
const PASSES = 4;
/** Added to the diagonal of every pose: too few landmarks leave it as it was. */
export const POSE_FLOOR = 1e-6;

/** [6+E,6+E], [6+E]. @typedef {{matrix: Float64Array, gradient: Float64Array}} NormalEquations */

/** The normal equations of the pose and expressions of a frame, with the priors on the expressions.
 * @param {FrameProblem} problem
 * @param {Linearization} linearization at the state
 * @param {Float64Array} expression of the state [E]
 * @returns {NormalEquations} */
export function normalEquations({ model }, linearization, expression) {
  const { products, size, local, residual } = linearization;
  const matrix = new Float64Array(local * local);
  for (let row = 0; row < local; row++) matrix.set(products.subarray(row * size, row * size + local), row * local);
  const gradient = products.slice(residual * size, residual * size + local);
  const { ridge, sparsity, exclusion } = model.options.fit;
  // L1 only on weights that cannot be negative; coefficients of a principal-component basis have the ridge only.
  const costs = model.cost.map((cost, e) => (model.limits[e] < 0 ? 0 : sparsity * cost));
  for (let pair = 0; pair < model.exclusive.length; pair += 2) {
    const a = model.exclusive[pair], b = model.exclusive[pair + 1];
    costs[a] += exclusion * expression[b];
    costs[b] += exclusion * expression[a];
  }
  for (let e = 0; e < expression.length; e++) {
    matrix[(POSE + e) * (local + 1)] += ridge * model.cost[e];
    gradient[POSE + e] += ridge * model.cost[e] * expression[e] + costs[e];
  }
  return { matrix, gradient };
}

/** Adds the squared angle between the rotation of a state and a measured one, `attitude`, to normal equations.
 * Expressions can cause the same foreshortening as pitch; the depth of the landmarks does not have that ambiguity.
 * @param {NormalEquations} equations @param {{rotation: number[]}} state @param {number[]} attitude
 * @param {number} precision */
export function addAttitude({ matrix, gradient }, { rotation }, attitude, precision) {
  const turn = turnBetween(attitude, rotation);
  for (let axis = 0; axis < 3; axis++) {
    matrix[axis * (gradient.length + 1)] += precision;
    gradient[axis] += precision * turn[axis];
  }
}

/** The rotation from `a` to `b` as an axis-angle vector: exp(turn) a = b. @param {number[]} a @param {number[]} b */
export function turnBetween(a, b) {
  return axisAngleOf(multiply(b, transposed(a)));
}

/** The state after a step [6+E]; expressions stay within `limits` [2,E].
 * @param {FaceState} state @param {Float64Array} step @param {Float64Array} limits
 * @returns {FaceState} */
export function updatedState({ rotation, translation, expression }, step, limits) {
  const count = expression.length;
  return {
    rotation: multiply(rotationOf([step[0], step[1], step[2]]), rotation),
    translation: translation.map((value, axis) => value + step[3 + axis]),
    expression: expression.map((value, e) => clamp(value + step[POSE + e], limits[e], limits[count + e])),
  };
}

/** Gauss-Newton step that keeps expressions within their limits, by an active-set method.
 * @param {NormalEquations} equations
 * @param {Float64Array} expression [E] of the state @param {Float64Array} limits [2,E]
 * @returns {Float64Array | null} [6+E]; null where the equations are singular */
export function boxStep({ matrix, gradient }, expression, limits) {
  const size = gradient.length, count = expression.length;
  const step = new Float64Array(size);
  /** @type {number[]} */
  let bound = [];
  let free = Array.from(gradient.keys());
  for (let pass = 0; pass < PASSES; pass++) {
    if (!solveFree(matrix, gradient, step, free, bound)) return null;
    const crossed = free.filter((row) => {
      const target = row < POSE ? 0 : expression[row - POSE] + step[row];
      return row >= POSE && (target < limits[row - POSE] - 1e-9 || target > limits[count + row - POSE] + 1e-9);
    });
    if (!crossed.length) break;
    for (const row of crossed) {
      const e = row - POSE;
      step[row] = clamp(expression[e] + step[row], limits[e], limits[count + e]) - expression[e];
    }
    bound = bound.concat(crossed);
    free = free.filter((row) => !crossed.includes(row));
  }
  return step;
}

/** Solves for the entries `free` of `step`, given those in `bound`; false where that is singular.
 * @param {Float64Array} matrix @param {Float64Array} gradient @param {Float64Array} step @param {number[]} free
 * @param {number[]} bound @returns {boolean} */
function solveFree(matrix, gradient, step, free, bound) {
  const size = gradient.length, count = free.length;
  const part = new Float64Array(count * count), right = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const row = free[i] * size;
    for (let j = 0; j <= i; j++) part[i * count + j] = matrix[row + free[j]];
    right[i] = -gradient[free[i]];
    for (const column of bound) right[i] -= matrix[row + column] * step[column];
  }
  if (!factorCholesky(part, count)) return false;
  solveCholesky(part, count, right);
  for (let i = 0; i < count; i++) step[free[i]] = right[i];
  return true;
}

/** Fits pose and expression of one frame.
 * @param {FrameProblem} problem
 * @param {Linearization} linearization memory for it
 * @param {FaceState} start the previous frame's, or an initial one
 * @param {{target: Float64Array, attitude: number[] | null}} seen landmarks [468,2] pixels, and the measured
 *   rotation [9] where it is known
 * @param {number} iterations at most; ends where a step is negligible
 * @param {number} previousWeight of the squared difference from the expressions of `start`
 * @returns {FaceState | null} null where the landmarks do not determine it */
export function solveFrame(problem, linearization, start, { target, attitude }, iterations, previousWeight) {
  const { limits, options } = problem.model;
  let state = start;
  for (let round = 0; round < iterations; round++) {
    linearization.at(problem, state, target);
    const equations = normalEquations(problem, linearization, state.expression);
    for (let k = 0; k < POSE; k++) equations.matrix[k * (linearization.local + 1)] += POSE_FLOOR;
    if (attitude) addAttitude(equations, state, attitude, options.fit.attitude);
    for (let e = 0; e < state.expression.length; e++) {
      equations.matrix[(POSE + e) * (linearization.local + 1)] += previousWeight;
      equations.gradient[POSE + e] += previousWeight * (state.expression[e] - start.expression[e]);
    }
    const step = boxStep(equations, state.expression, limits);
    if (!step) return null;
    state = updatedState(state, step, limits);
    if (largest(step, 0, POSE) < 1e-5 && largest(step, POSE) < 1e-3) break;
  }
  return state;
}
