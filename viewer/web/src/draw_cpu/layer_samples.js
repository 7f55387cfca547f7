/** The samples of the mesh layer on the processor, half a pixel wide: which face, how deep, and how far from the rim of
 * the openings. The same steps as the shaders of layer_mesh.js and layer_pass.js. */
import { BEYOND, SUPERSAMPLE } from "../draw/layer_region.js";
import { grown } from "./memory.js";
/** @import { LayerArrays, LayerView } from "../avatar/mesh_layer.js" */
/** @import { Camera } from "../avatar/projection.js" */
/** @import { LayerRegion } from "../draw/layer_region.js" */

const NEAR = 0.01; // meters
const TILE = 3; // bits of the side of a tile
const EDGE = 1e-9; // of barycentric coordinates, so that no sample is lost between two triangles

/** Kinds of samples; 0 where no face is: behind the skin, part of the skin, in front of it. */
export const HIDDEN_SAMPLE = 1;
export const SKIN_SAMPLE = 2;
export const SEEN_SAMPLE = 3;

export class LayerSamples {
  /** @param {LayerArrays} layer static arrays of the layer */
  constructor({ faces, fades, skin, vertexCount }) {
    this.faces = faces;
    this.fades = fades;
    this.skin = skin;
    /** Vertices in the samples [V,3]: column, row from the lower edge, 1 / depth (0 where it is not in the image). */
    this.places = new Float64Array(3 * vertexCount);
    this.inverse = new Float32Array(0);
    this.faceOf = new Uint32Array(0);
    this.kinds = new Uint8Array(0);
    this.steps = new Uint16Array(0);
    this.gaps = new Uint16Array(0);
    this.covered = new Uint8Array(0);
    /** Columns of tiles, and the smallest inverse depth of the faces. */
    this.tiles = 0;
    this.deepest = Infinity;
    // Of the frame that is drawn, in samples: the region, its rows at hand, and how far distances count.
    this.width = this.height = this.low = this.high = this.reach = 0;
  }

  /** Finds the samples in rows `low` to `high` of a region; each row is the same whatever these are.
   * @param {LayerView} view
   * @param {Camera} camera @param {Float32Array} vertices [V,4]
   * @param {LayerRegion} region @param {number} low @param {number} high */
  find(view, camera, vertices, { box, reach }, low, high) {
    this.width = SUPERSAMPLE * box[2];
    this.height = SUPERSAMPLE * box[3];
    this.low = low;
    this.high = high;
    this.reach = reach;
    const count = this.width * (high - low);
    this.inverse = grown(this.inverse, count);
    this.faceOf = grown(this.faceOf, count);
    this.kinds = grown(this.kinds, count);
    this.steps = grown(this.steps, count);
    this.gaps = grown(this.gaps, count);
    this.inverse.fill(0, 0, count);
    this.faceOf.fill(0, 0, count);
    this.kinds.fill(SEEN_SAMPLE, 0, count);
    this.#project(view, camera, vertices, box);
    this.#rasterize(this.faces, false);
    this.#findCovered();
    this.#rasterize(this.skin, true);
    this.#classify(count);
    for (let row = 0; row < high - low; row++) this.#measureRow(row * this.width);
    this.gaps.fill(BEYOND, 0, count);
    for (let row = 0; row < high - low; row++) this.#measureGaps(row, row - 1);
    for (let row = high - low - 1; row >= 0; row--) this.#measureGaps(row, row + 1);
  }

  /** @param {LayerView} view @param {Camera} camera @param {Float32Array} vertices @param {number[]} box */
  #project({ rotation: r, translation: t }, camera, vertices, box) {
    const { places } = this;
    for (let at = 0, from = 0; at < places.length; at += 3, from += 4) {
      const x = vertices[from], y = vertices[from + 1], z = vertices[from + 2];
      const depth = r[6] * x + r[7] * y + r[8] * z + t[2];
      const inverse = depth > NEAR ? 1 / depth : 0;
      const column = camera.fx * (r[0] * x + r[1] * y + r[2] * z + t[0]) * inverse + camera.cx;
      const row = camera.fy * (r[3] * x + r[4] * y + r[5] * z + t[1]) * inverse + camera.cy;
      places[at] = SUPERSAMPLE * (column - box[0]);
      places[at + 1] = SUPERSAMPLE * (camera.height - row - box[1]);
      places[at + 2] = inverse;
    }
  }

  /** Finds the tiles that have faces, and the smallest inverse depth of those. */
  #findCovered() {
    const { faceOf, inverse, width, low, high } = this;
    this.tiles = (width >> TILE) + 1;
    this.covered = grown(this.covered, this.tiles * (((high - low) >> TILE) + 1));
    this.covered.fill(0);
    let deepest = Infinity;
    for (let row = 0, at = 0; row < high - low; row++)
      for (let column = 0; column < width; column++, at++) {
        if (!faceOf[at]) continue;
        this.covered[this.tiles * (row >> TILE) + (column >> TILE)] = 1;
        deepest = Math.min(deepest, inverse[at]);
      }
    this.deepest = deepest;
  }

  /** Whether faces are within rows (from `low` on) and columns.
   * @param {number} first @param {number} last @param {number} left @param {number} right */
  #hasFaces(first, last, left, right) {
    const { covered, tiles } = this;
    for (let row = first >> TILE; row <= last >> TILE; row++)
      for (let column = left >> TILE; column <= right >> TILE; column++) if (covered[tiles * row + column]) return true;
    return false;
  }

  /** Draws triangles: faces of the layer into `faceOf`, counted from 1; the skin into `kinds`, where it is nearer.
   * @param {Uint16Array} corners @param {boolean} isSkin */
  #rasterize(corners, isSkin) {
    const { places, inverse, faceOf, kinds, width, low, high, deepest } = this;
    for (let k = 0, face = 1; k < corners.length; k += 3, face++) {
      const a = 3 * corners[k], b = 3 * corners[k + 1], c = 3 * corners[k + 2];
      const ax = places[a], ay = places[a + 1], qa = places[a + 2];
      const bx = places[b], by = places[b + 1], qb = places[b + 2];
      const cx = places[c], cy = places[c + 1], qc = places[c + 2];
      const first = Math.max(Math.ceil(Math.min(ay, by, cy) - 0.5), low);
      const last = Math.min(Math.floor(Math.max(ay, by, cy) - 0.5), high - 1);
      const left = Math.max(Math.ceil(Math.min(ax, bx, cx) - 0.5), 0);
      const right = Math.min(Math.floor(Math.max(ax, bx, cx) - 0.5), width - 1);
      const area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay);
      if (first > last || left > right || area === 0 || qa * qb * qc === 0) continue;
      // Most of the skin is behind the layer or beside it.
      const isBehind = isSkin && Math.max(qa, qb, qc) <= deepest;
      if (isBehind || (isSkin && !this.#hasFaces(first - low, last - low, left, right))) continue;
      // Barycentric coordinates v and w of b and c, and the inverse depth q, are linear in the image.
      const vx = (cy - ay) / area, vy = (ax - cx) / area, wx = (ay - by) / area, wy = (bx - ax) / area;
      const qx = vx * (qb - qa) + wx * (qc - qa), qy = vy * (qb - qa) + wy * (qc - qa);
      for (let row = first; row <= last; row++) {
        const dx = left + 0.5 - ax, dy = row + 0.5 - ay;
        let v = vx * dx + vy * dy, w = wx * dx + wy * dy, q = qa + qx * dx + qy * dy;
        const start = (row - low) * width;
        for (let at = start + left; at <= start + right; at++, v += vx, w += wx, q += qx) {
          if (v < -EDGE || w < -EDGE || v + w > 1 + EDGE || q <= inverse[at]) continue;
          if (isSkin) kinds[at] = HIDDEN_SAMPLE;
          else {
            inverse[at] = q;
            faceOf[at] = face;
          }
        }
      }
    }
  }

  /** @param {number} count */
  #classify(count) {
    const { faceOf, fades, kinds } = this;
    for (let at = 0; at < count; at++) {
      const face = faceOf[at];
      if (face === 0) kinds[at] = 0;
      else if (fades[2 * face - 1] <= 0) kinds[at] = SKIN_SAMPLE;
    }
  }

  /** Distance along a row from each sample to the nearest that is seen where it is not, and the reverse.
   * @param {number} start */
  #measureRow(start) {
    const { kinds, steps, width, reach } = this;
    for (let x = 0, run = 0, wasSeen = false; x < width; x++) {
      const isSeen = kinds[start + x] === SEEN_SAMPLE;
      if (isSeen !== wasSeen) run = x;
      wasSeen = isSeen;
      // Beyond the image nothing is seen.
      steps[start + x] = isSeen || run > 0 ? Math.min(x - run + 1, BEYOND) : BEYOND;
    }
    for (let x = width - 1, run = width - 1, wasSeen = false; x >= 0; x--) {
      const isSeen = kinds[start + x] === SEEN_SAMPLE;
      if (isSeen !== wasSeen) run = x;
      wasSeen = isSeen;
      const found = isSeen || run < width - 1 ? Math.min(steps[start + x], run - x + 1) : steps[start + x];
      steps[start + x] = found > reach ? BEYOND : found;
    }
  }

  /** Rows from each sample to the nearest row that can matter for its distance, among those on the side of `other`.
   * @param {number} row @param {number} other */
  #measureGaps(row, other) {
    const { kinds, steps, gaps, width, height, low, high } = this;
    const isEdge = low + other < 0 || low + other >= height;
    if (other < 0 || other >= high - low) {
      // Beyond the image nothing is seen, beyond the rows at hand nothing is asked for.
      for (let at = row * width; isEdge && at < (row + 1) * width; at++) if (kinds[at] === SEEN_SAMPLE) gaps[at] = 1;
      return;
    }
    for (let at = row * width, next = other * width; at < (row + 1) * width; at++, next++) {
      const isSame = (kinds[at] === SEEN_SAMPLE) === (kinds[next] === SEEN_SAMPLE);
      const gap = isSame && steps[next] === BEYOND ? gaps[next] + 1 : 1;
      if (gap < gaps[at]) gaps[at] = gap;
    }
  }

  /** Distance, in samples, from a sample to the nearest that is seen where it is not, and the reverse; that at `limit`
   * or beyond may be too long.
   * @param {number} at @param {number} row @param {boolean} isSeen @param {number} limit @returns {number} */
  distance(at, row, isSeen, limit) {
    const { kinds, steps, gaps, width, height, reach } = this;
    let best = steps[at] * steps[at];
    for (let k = gaps[at]; k <= reach && k * k < best && k < limit; k++)
      for (let side = -1; side <= 1; side += 2) {
        const other = row + side * k;
        let along = BEYOND;
        if (other < 0 || other >= height) {
          if (isSeen) along = 0;
        } else {
          const next = at + side * k * width;
          along = (kinds[next] === SEEN_SAMPLE) === isSeen ? steps[next] : 0;
        }
        best = Math.min(best, k * k + along * along);
      }
    return Math.sqrt(best);
  }
}
