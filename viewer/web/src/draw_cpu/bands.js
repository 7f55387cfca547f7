/** Divides an image into bands of rows that take about as long to draw as one another. */
import { SPLAT_SIZE } from "../avatar/projection.js";
/** @import { LayerView } from "../avatar/mesh_layer.js" */
/** @import { Camera, Projection } from "../avatar/projection.js" */

const SAMPLED = 16; // every such Gaussian is counted
/** Costs in units of a pixel of a Gaussian, measured. */
const ROW_OF_GAUSSIAN = 5;
const PIXEL = 0.3;
const PIXEL_OF_LAYER = 75;

/** First row of each of `count` bands, from the lower edge, and the number of rows of the image.
 * @param {Projection} projection of a frame
 * @param {Camera} camera
 * @param {LayerView | null} view of the layer @param {number} count
 * @returns {number[]} count + 1 */
export function bandBorders(projection, camera, view, count) {
  const { height } = camera;
  if (count === 1) return [0, height];
  const costs = rowCosts(projection, camera, view);
  const total = costs.reduce((sum, cost) => sum + cost, 0);
  const borders = [0];
  for (let row = 0, sum = 0; row < height && borders.length < count; row++) {
    sum += costs[row];
    while (borders.length < count && sum >= (total * borders.length) / count) borders.push(row + 1);
  }
  while (borders.length <= count) borders.push(height);
  return borders;
}

/** Cost of each row, from the lower edge.
 * @param {Projection} projection @param {Camera} camera @param {LayerView | null} view */
function rowCosts({ projected, halfHeights, count }, { width, height }, view) {
  const changes = new Float64Array(height + 1);
  /** @type {(low: number, high: number, cost: number) => void} */
  const add = (low, high, cost) => {
    const first = Math.min(Math.max(Math.floor(low), 0), height), last = Math.min(Math.max(Math.ceil(high), 0), height);
    changes[first] += cost;
    changes[last] -= cost;
  };
  for (let k = 0; k < count; k += SAMPLED) {
    const at = SPLAT_SIZE * k, y = height - projected[at + 1], half = halfHeights[k];
    const area = Math.abs(projected[at + 2] * projected[at + 5] - projected[at + 3] * projected[at + 4]);
    const pixels = (Math.PI * area * Math.log(255 * projected[at + 6])) / half; // of a row, on average
    add(y - half, y + half, SAMPLED * (ROW_OF_GAUSSIAN + Math.min(pixels, width)));
  }
  if (view) add(height - view.box[3], height - view.box[1], PIXEL_OF_LAYER * (view.box[2] - view.box[0]));
  const costs = new Float64Array(height);
  for (let row = 0, cost = PIXEL * width; row < height; row++) costs[row] = cost += changes[row];
  return costs;
}
