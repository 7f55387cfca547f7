/** Draws the images of the mesh layer on the processor, for browsers without a graphics card: the same steps as
 * layer_pass.js, for a part of the rows. */
import { floatsOfHalves } from "../container/half.js";
import { DEPTH_MARGIN, HIDDEN_REACH, layerRegion, longestFadeOf, SOLID, SUPERSAMPLE } from "../draw/layer_region.js";
import { HIDDEN_SAMPLE, LayerSamples, SEEN_SAMPLE } from "./layer_samples.js";
import { grown } from "./memory.js";
/** @import { LayerArrays, LayerView } from "../avatar/mesh_layer.js" */
/** @import { Camera } from "../avatar/projection.js" */

const NODES = 15; // texels of a face
const SAMPLES = SUPERSAMPLE * SUPERSAMPLE;
const REFLECTION = 16; // texels along a side

/** Rows of the layer under the Gaussians: what they blend over, and what fades them.
 * @typedef {Object} LayerRows
 * @property {number} left column of the image @property {number} width
 * @property {number} first row of the image, from the lower edge @property {number} rows
 * @property {Float32Array} color [h,w,4] premultiplied, and coverage
 * @property {Float32Array} stencil [h,w] how far Gaussians fade
 * @property {Float32Array} limits [h,w] depth from which on Gaussians are hidden, meters
 * @property {Int32Array} spans [h,2] first and last column of the layer where Gaussians fade or are hidden */

export class LayerRaster {
  /** @param {LayerArrays} layer static arrays of the layer */
  constructor(layer) {
    this.longestFade = longestFadeOf(layer.fades);
    this.layer = layer;
    this.texels = floatsOfHalves(layer.texels);
    this.samples = new LayerSamples(layer);
    this.resolved = new Float32Array(0);
    this.blurred = new Float32Array(0);
    this.color = new Float32Array(0);
    this.stencil = new Float32Array(0);
    this.limits = new Float32Array(0);
    /** Of the frame that is drawn: vertices [V,4]. @type {Float32Array} */
    this.vertices = new Float32Array(0);
    /** Samples per meter, and columns of the region. */
    this.perMeter = 0;
    this.width = 0;
  }

  /** Draws rows of an image, from the lower edge; null where the layer is not in them.
   * @param {LayerView} view
   * @param {Camera} camera @param {Float32Array} vertices [V,4] position and shade
   * @param {number} first @param {number} rows @returns {LayerRows | null} */
  draw(view, camera, vertices, first, rows) {
    const region = layerRegion(view, camera, this.longestFade);
    if (!region) return null;
    const { box: [left, bottom, width, height], reach, weights } = region;
    const start = Math.max(first - bottom, 0), end = Math.min(first + rows - bottom, height);
    if (start >= end) return null;
    // Rows of the region that the blur reads, and rows of samples that their distances read.
    const border = weights.length - 1;
    const low = Math.max(start - border, 0), high = Math.min(end + border, height);
    const lowest = Math.max(SUPERSAMPLE * low - reach, 0);
    const highest = Math.min(SUPERSAMPLE * high + reach, SUPERSAMPLE * height);
    this.samples.find(view, camera, vertices, region, lowest, highest);
    this.vertices = vertices;
    this.perMeter = SUPERSAMPLE * view.pixelsPerMeter;
    this.width = width;
    this.#resolve(low, high);
    this.#blur(low, high, start, end, weights);
    this.#reflect(view.reflections, camera.height, left, bottom + start, end - start);
    const from = width * (start - low), count = width * (end - start);
    const stencil = this.stencil.subarray(from, from + count), limits = this.limits.subarray(from, from + count);
    const spans = this.#limit(stencil, limits, end - start);
    return { left, width, first: bottom + start, rows: end - start, color: this.color, stencil, limits, spans };
  }

  /** Color, coverage, stencil and depth of pixels from their samples. @param {number} low @param {number} high */
  #resolve(low, high) {
    const { samples, width } = this;
    const count = width * (high - low);
    this.stencil = grown(this.stencil, count);
    this.limits = grown(this.limits, count);
    this.resolved = grown(this.resolved, 4 * count);
    this.resolved.fill(0, 0, 4 * count);
    this.stencil.fill(0, 0, count);
    this.limits.fill(Infinity, 0, count);
    for (let row = SUPERSAMPLE * low; row < SUPERSAMPLE * high; row++) {
      const start = (row - samples.low) * samples.width;
      const to = width * (Math.floor(row / SUPERSAMPLE) - low);
      for (let column = 0; column < samples.width; column++)
        if (samples.kinds[start + column])
          this.#addSample(start + column, column, row, to + Math.floor(column / SUPERSAMPLE));
    }
  }

  /** @param {number} at @param {number} column @param {number} row @param {number} pixel */
  #addSample(at, column, row, pixel) {
    const { samples, perMeter, layer: { fades }, stencil, limits } = this;
    const kind = samples.kinds[at], face = samples.faceOf[at] - 1;
    const near = fades[2 * face], far = fades[2 * face + 1];
    let keep = 1;
    if (kind === SEEN_SAMPLE) {
      const meters = (samples.distance(at, row, true, far * perMeter + 1) - 0.5) / perMeter;
      const gone = 1 - smoothStep((meters - near) / (far - near));
      stencil[pixel] += (1 - gone * gone) / SAMPLES;
    } else if (kind === HIDDEN_SAMPLE) {
      const meters = (samples.distance(at, row, false, HIDDEN_REACH * far * perMeter + 1) - 0.5) / perMeter;
      keep = 1 - smoothStep((meters - far) / ((HIDDEN_REACH - 1) * far));
      if (keep <= 0) return;
    }
    const depth = this.#addColor(face, column + 0.5, row + 0.5, keep / SAMPLES, 4 * pixel);
    if (depth < limits[pixel]) limits[pixel] = depth;
  }

  /** Adds the texture of a face, lit, at a sample; returns its depth.
   * @param {number} face @param {number} x @param {number} y @param {number} part @param {number} to */
  #addColor(face, x, y, part, to) {
    const { vertices, resolved, texels, samples: { places }, layer: { faces, texelIds } } = this;
    const a = faces[3 * face], b = faces[3 * face + 1], c = faces[3 * face + 2];
    const ax = places[3 * a], ay = places[3 * a + 1], bx = places[3 * b] - ax, by = places[3 * b + 1] - ay;
    const cx = places[3 * c] - ax, cy = places[3 * c + 1] - ay, area = bx * cy - cx * by;
    // Barycentric coordinates on the face, not in the image: weighted by the inverse depths.
    let v = ((x - ax) * cy - cx * (y - ay)) / area, w = (bx * (y - ay) - (x - ax) * by) / area;
    let u = (1 - v - w) * places[3 * a + 2];
    v *= places[3 * b + 2];
    w *= places[3 * c + 2];
    const depth = 1 / (u + v + w);
    u *= depth;
    v *= depth;
    w *= depth;
    const light = part * (u * vertices[4 * a + 3] + v * vertices[4 * b + 3] + w * vertices[4 * c + 3]);
    // Linear within each of the 16 triangles of a grid with four steps along each edge.
    const s = 4 * Math.min(Math.max(u, 0), 1), t = 4 * Math.min(Math.max(v, 0), 1);
    const i = Math.min(Math.floor(s), 3), j = Math.max(Math.min(Math.floor(t), 3 - i), 0);
    const isLow = s - i + t - j <= 1;
    const second = clampedPart(isLow ? s - i : 1 - s + i), third = clampedPart(isLow ? t - j : 1 - t + j);
    const one = NODES * face + (isLow ? node(i, j) : node(i + 1, j + 1));
    const two = NODES * face + (isLow ? node(i + 1, j) : node(i, j + 1));
    const three = NODES * face + (isLow ? node(i, j + 1) : node(i + 1, j));
    const first = clampedPart(isLow ? 1 - s + i - t + j : s - i + t - j - 1);
    const p = 3 * texelIds[one], q = 3 * texelIds[two], r = 3 * texelIds[three];
    for (let k = 0; k < 3; k++)
      resolved[to + k] += light * (first * texels[p + k] + second * texels[q + k] + third * texels[r + k]);
    resolved[to + 3] += part;
    return depth;
  }

  /** Blurs `resolved` into `color`, along the rows and then across; pixels without layer cost nothing.
   * @param {number} low @param {number} high @param {number} start @param {number} end @param {number[]} weights */
  #blur(low, high, start, end, weights) {
    const { width, resolved } = this;
    const size = 4 * width * (high - low), radius = weights.length - 1;
    this.blurred = grown(this.blurred, size);
    this.color = grown(this.color, 4 * width * (end - start));
    const { blurred, color } = this;
    blurred.fill(0, 0, size);
    color.fill(0, 0, 4 * width * (end - start));
    for (let at = 0, x = 0; at < size; at += 4, x = x + 1 === width ? 0 : x + 1) {
      if (resolved[at + 3] === 0) continue;
      for (let k = Math.max(-radius, -x); k <= Math.min(radius, width - 1 - x); k++)
        addScaled(blurred, at + 4 * k, resolved, at, weights[k < 0 ? -k : k]);
    }
    for (let at = 0; at < size; at += 4) {
      if (blurred[at + 3] === 0) continue;
      const row = low + Math.floor(at / (4 * width));
      for (let k = Math.max(-radius, start - row); k <= Math.min(radius, end - 1 - row); k++)
        addScaled(color, at + 4 * width * (k + low - start), blurred, at, weights[k < 0 ? -k : k]);
    }
  }

  /** Adds the reflections on the eyes to `color`.
   * @param {number[]} spots @param {number} height @param {number} left @param {number} first @param {number} rows */
  #reflect(spots, height, left, first, rows) {
    const { color, width, layer: { reflections } } = this;
    for (let eye = 0; eye < 2; eye++) {
      const x = spots[2 * eye], y = height - spots[2 * eye + 1], radius = spots[4 + eye];
      if (!(radius > 0)) continue;
      const reach = radius * (1 + 1 / REFLECTION);
      const top = Math.min(Math.floor(y + reach), first + rows - 1);
      const right = Math.min(Math.floor(x + reach), left + width - 1);
      for (let row = Math.max(Math.floor(y - reach), first); row <= top; row++)
        for (let column = Math.max(Math.floor(x - reach), left); column <= right; column++) {
          const at = 4 * ((row - first) * width + column - left);
          const u = ((column + 0.5 - x) / radius + 1) * 8 - 0.5, v = ((y - row - 0.5) / radius + 1) * 8 - 0.5;
          const added = color[at + 3] * reflected(reflections, eye, u, v);
          for (let k = 0; k < 3; k++) color[at + k] += added;
        }
    }
  }

  /** Turns depths into those from which on Gaussians are hidden; returns the columns of each row that change them.
   * @param {Float32Array} stencil @param {Float32Array} limits @param {number} rows */
  #limit(stencil, limits, rows) {
    const { color, width } = this;
    const spans = new Int32Array(2 * rows);
    for (let row = 0, at = 0; row < rows; row++) {
      let from = width, to = -1;
      for (let x = 0; x < width; x++, at++) {
        const isSolid = color[4 * at + 3] >= SOLID;
        limits[at] = isSolid ? limits[at] + DEPTH_MARGIN : Infinity;
        if (!isSolid && stencil[at] === 0) continue;
        from = Math.min(from, x);
        to = x;
      }
      spans[2 * row] = from;
      spans[2 * row + 1] = to;
    }
    return spans;
  }
}

/** @param {number} t */
function smoothStep(t) {
  const part = clampedPart(t);
  return part * part * (3 - 2 * part);
}

/** @param {number} t */
function clampedPart(t) {
  return t < 0 ? 0 : t > 1 ? 1 : t;
}

/** Number of a node of the grid of a face. @param {number} i @param {number} j */
function node(i, j) {
  return (i * (11 - i)) / 2 + j;
}

/** @param {Float32Array} out @param {number} to @param {Float32Array} from @param {number} at @param {number} weight */
function addScaled(out, to, from, at, weight) {
  out[to] += weight * from[at];
  out[to + 1] += weight * from[at + 1];
  out[to + 2] += weight * from[at + 2];
  out[to + 3] += weight * from[at + 3];
}

/** Bilinear sample of the reflections [2,16,16] of an eye, which are 0 beyond their edge.
 * @param {Float32Array} reflections @param {number} eye @param {number} u @param {number} v */
function reflected(reflections, eye, u, v) {
  const column = Math.floor(u), row = Math.floor(v);
  let sum = 0;
  for (let y = row; y <= row + 1; y++)
    for (let x = column; x <= column + 1; x++) {
      if (x < 0 || x >= REFLECTION || y < 0 || y >= REFLECTION) continue;
      sum += (1 - Math.abs(u - x)) * (1 - Math.abs(v - y)) * reflections[(REFLECTION * eye + y) * REFLECTION + x];
    }
  return sum;
}
