/** The blocks of an avatar in a page, see docs/formats/web.md. */
/** @import { BlockEntry, Container, ContainerKind } from "./container.js" */
/** @import { PagePreset } from "../page/own_presets.js" */

/** Type and shape of each block: V vertices, S bases of the mesh, N Gaussians, M of them blended, P the others, T faces of the
 * layer, X its texels, F frames. */
const SCHEMA = {
  "head.template": "f32 V 3",
  "head.base_counts": "u32 S",
  "head.base_vertices": "u16 O",
  "head.base_offsets": "f16 O 3",
  "head.bent_vertices": "u16 B",
  "head.bent_weights": "f32 B 3",
  "gaussians.offsets": "i16 3 N",
  "gaussians.quats": "i16 4 N",
  "gaussians.log_scales": "i16 3 N",
  "gaussians.colors": "i16 3 N",
  "gaussians.logit_opacities": "i16 1 N",
  "gaussians.triangles": "u16 N 3",
  "gaussians.bary": "u16 N 2",
  "gaussians.torso_weights": "u16 N",
  "gaussians.basis": "i8 C M",
  "gaussians.stretch_faces": "u16 G 3",
  "gaussians.stretches": "u8 V",
};
const POSE_SCHEMA = {
  "pose_blendshapes.colors": "i8 21 N",
  "pose_blendshapes.positions": "i8 21 P",
};
const LAYER_SCHEMA = {
  "layer.faces": "u16 T 3",
  "layer.texel_ids": "u16|u32 T 15",
  "layer.texels": "f16 X 3",
  "layer.fades": "f32 T 2",
  "layer.skin": "u16 K 3",
  "layer.gaussian_fades": "u8 N",
  "layer.mouth_vertices": "u16 L",
  "layer.mouth_normals": "f16 L 3",
  "layer.eyes": "u16 2 E",
  "layer.irises": "u16 2 I",
  "layer.reflections": "f16 2 16 16",
};
const MOTION_SCHEMA = {
  "motion.times": "f32 F",
  "motion.expression": "i16 W F",
  "motion.joint_rot": "f32 15 F",
  "motion.translation": "f32 3 F",
};
const TORSO_SCHEMA = { "motion.torso": "f32 6 F" };
/** Blocks of indices, and the letter that they are smaller than. */
const INDICES = {
  "head.base_vertices": "V", "head.bent_vertices": "V", "gaussians.triangles": "V", "gaussians.stretch_faces": "V",
  "layer.faces": "V", "layer.skin": "V", "layer.mouth_vertices": "V", "layer.eyes": "V", "layer.irises": "V",
  "layer.texel_ids": "X",
};

/** The header of an avatar. The shapes of its numbers are checked where they are read, see `numbersOf`.
 * @typedef {Object} AvatarHeader
 * @property {string} format
 * @property {BlockEntry[]} blocks
 * @property {string} generator
 * @property {string} name title
 * @property {string} note
 * @property {string} consent
 * @property {Provenance} provenance
 * @property {HeadEntry} head
 * @property {PagePreset[]} [presets] missing in containers from before
 * @property {{mode: string, network?: {hidden_bias?: unknown[]} | null}} gaussians
 * @property {DrivingEntry} driving
 * @property {object | null} [pose_blendshapes] missing in containers from before
 * @property {{lips: {corners: unknown[]}, lids: object | null} | null} layer
 * @property {{name: string, torso?: boolean} | null} motion */
/** @typedef {{capture?: {name?: string}, tensors_sha256?: string}} Provenance */
/** @typedef {Object} HeadEntry
 * @property {string} name
 * @property {string} license
 * @property {string[]} expression_names [E]
 * @property {unknown[]} curve_columns
 * @property {number[][][]} joint_dirs [5,3,E] */
/** @typedef {Object} DrivingEntry
 * @property {(number | null)[]} margin [E+9]; null: not clamped
 * @property {object | null} lids
 * @property {object | null} lips
 * @property {{names: string[]} | null} [embedded_lips]
 * @property {Object<string, Object<string, unknown>>} [options] see `drivingOptions` */
/** @typedef {Container<AvatarHeader>} AvatarContainer */

/** @type {ContainerKind<AvatarHeader>} */
export const AVATAR = {
  format: "headsplat-web",
  subject: "The avatar",
  stranger: "The data is not an avatar for the web; make the page with headsplat export.",
  blocks: ({ layer, motion, pose_blendshapes: byPose }) => ({
    ...SCHEMA, ...(byPose ? POSE_SCHEMA : {}), ...(layer ? LAYER_SCHEMA : {}), ...(motion ? MOTION_SCHEMA : {}),
    ...(motion?.torso ? TORSO_SCHEMA : {}),
  }),
  indices: INDICES,
};
