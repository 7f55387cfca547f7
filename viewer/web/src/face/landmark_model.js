/** The head model reduced to its landmarks, from the container that capture/live/web_model.py writes. */
import { Container } from "../container/container.js";
import { addRow } from "./dense.js";
/** @import { BlockEntry, ContainerKind } from "../container/container.js" */

/** Landmarks of the surface of the face; behind them come those of the irises. */
export const FACE_COUNT = 468;
export const LANDMARK_COUNT = 478;

/** S coefficients of identity, E tracked expressions, M of them rotate the jaw or follow a curve, K pose correctives, P
 * pairs of expressions that exclude each other. */
const BLOCKS = {
  "base": "f32 468 3",
  "identity_basis": "i16 S 1404",
  "expression_basis": "i16 E 1404",
  "jaw.curves": "i16 M 1404",
  "jaw.correctives": "i16 K 1404",
  "jaw.skinning_weights": "f32 468",
  "anchors": "f32 6 3",
  "anchor_basis": "f32 S 6 3",
  "columns": "u16|u32 E",
  "limits": "f32 2 E",
  "cost": "f32 E",
  "exclusive": "u16|u32 P 2",
  "jaw.nonlinear": "u16|u32 M",
  "jaw.directions": "f32 M 3",
  "landmark_weights": "f32 468",
};
/** Its other entries are checked where they are read.
 * @typedef {{format: string, blocks: BlockEntry[], names?: unknown,
 *   landmarks?: Object<string, unknown>}} LandmarkHeader */
/** @typedef {Container<LandmarkHeader>} LandmarkContainer */
/** @type {ContainerKind<LandmarkHeader>} */
const KIND = {
  format: "headsplat-landmarks",
  subject: "The landmark model of the head",
  stranger: "The data is not the landmark model of a head; make the page with headsplat export.",
  blocks: () => BLOCKS,
  indices: { "exclusive": "E", "jaw.nonlinear": "E" },
};
/** Groups of landmarks by the name in the header, and how many they have at least. */
const GROUPS = {
  stable: 3, eye_corners: 2, lip_gap: 2, mouth_corners: 2, right_lids: 2, left_lids: 2, irises: 2, hideable_eyes: 0,
  hideable_mouth: 0, changing: 0,
};
/** Options by their place in the header. */
const OPTIONS = {
  fit: ["ridge", "sparsity", "exclusion", "huber", "attitude"],
  identity: ["identity_prior", "pitch_sigma", "iterations"],
  learn: ["seconds", "min_frames", "key_frames"],
};

/** What a person's identity determines, skull frame, meters.
 * @typedef {Object} PersonShape
 * @property {Float64Array} neutral [468,3] landmarks
 * @property {Float64Array[]} anchors points [3]: hinge of the jaw, neck, left and right eye, their irises at rest
 */

/** Landmarks in the skull frame: `base + identity basis * s + expression basis * e`, then the jaw rotates; meters. */
export class LandmarkModel {
  /** @param {ArrayBuffer} buffer a container, checked here */
  constructor(buffer) {
    const container = new Container(buffer, KIND);
    const floats = (/** @type {string} */ name) => checkedFloats(container, name);
    /** Names of all expressions of the head. @type {string[]} */
    this.names = namesOf(container);
    /** Column of each tracked expression in `names`, [E]. */
    this.columns = container.raw("columns");
    if (this.columns.some((column) => column >= this.names.length)) throw container.damaged("indices of columns");
    this.base = floats("base"); // [468,3]
    this.identityBasis = floats("identity_basis"); // [S,1404]
    this.expressionBasis = floats("expression_basis"); // [E,1404]
    this.anchors = floats("anchors"); // [6,3]
    this.anchorBasis = floats("anchor_basis"); // [S,18]
    this.limits = floats("limits"); // [2,E] least and largest weight
    this.cost = floats("cost"); // [E] factor of the prior
    this.exclusive = container.raw("exclusive"); // [P,2] tracked expressions
    this.weights = floats("landmark_weights"); // [468]
    this.jaw = {
      skinningWeights: floats("jaw.skinning_weights"), // [468]
      nonlinear: container.raw("jaw.nonlinear"), // [M] tracked expressions
      directions: floats("jaw.directions"), // [M,3] axis-angle at a weight of 1
      curves: floats("jaw.curves"), // [M,1404] factor of 4 w (1 - w)
      correctives: floats("jaw.correctives"), // [K,1404] per entry of R - I
    };
    if (![0, 9].includes(container.sizes.K)) throw container.damaged("shape of jaw.correctives");
    this.identitySize = container.sizes.S;
    this.expressionCount = container.sizes.E;
    /** @type {Object<string, number[]>} */
    this.groups = groupsOf(container);
    /** @type {Object<string, Object<string, number>>} */
    this.options = optionsOf(container);
  }

  /** The shape of the person with coefficients `identity` [S].
   * @param {Float64Array} identity @returns {PersonShape} */
  shapeOf(identity) {
    const neutral = this.base.slice(), anchors = this.anchors.slice();
    identity.forEach((value, row) => {
      addRow(neutral, this.identityBasis, row, value);
      addRow(anchors, this.anchorBasis, row, value);
    });
    return { neutral, anchors: [0, 3, 6, 9, 12, 15].map((start) => anchors.slice(start, start + 3)) };
  }
}

/** @param {LandmarkContainer} container @param {string} name */
function checkedFloats(container, name) {
  const values = container.floats(name);
  if (!values.every(Number.isFinite)) throw container.damaged(`numbers of ${name}`);
  return Float64Array.from(values);
}

/** @param {LandmarkContainer} container @returns {string[]} */
function namesOf(container) {
  const { names } = container.header;
  if (!Array.isArray(names) || !names.every((name) => typeof name === "string")) throw container.damaged("its names");
  return names;
}

/** @param {LandmarkContainer} container @returns {Object<string, number[]>} */
function groupsOf(container) {
  return Object.fromEntries(Object.entries(GROUPS).map(([name, least]) => {
    const group = container.header.landmarks?.[name] ?? (least ? undefined : []); // containers from before lack those of 0
    const isIndex = (/** @type {number} */ value) => Number.isInteger(value) && value >= 0 && value < LANDMARK_COUNT;
    if (!Array.isArray(group) || group.length < least || !group.every(isIndex))
      throw container.damaged(`landmarks of ${name}`);
    return [name, group];
  }));
}

/** @param {LandmarkContainer} container @returns {Object<string, Object<string, number>>} */
function optionsOf(container) {
  return Object.fromEntries(Object.entries(OPTIONS).map(([part, keys]) => [
    part, Object.fromEntries(keys.map((key) => [key, container.numbers(`${part}.${key}`, [])[0]])),
  ]));
}
