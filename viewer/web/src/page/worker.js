/** The worker: reads the container, then poses, projects and sorts each requested frame, and draws it where no graphics
 * card does. The same script is that of the helpers, which only draw. */
import { AVATAR } from "../container/avatar_container.js";
import { Container, ContainerError } from "../container/container.js";
import { messageOf } from "../container/error_message.js";
import { PosedAvatar } from "../avatar/posed_avatar.js";
import { WorldGaussians } from "../avatar/world_gaussians.js";
import { helpToDraw, RasterTeam } from "../draw_cpu/raster_team.js";
/** @import { HeadParams } from "../avatar/head.js" */
/** @import { LayerArrays } from "../avatar/mesh_layer.js" */
/** @import { Camera } from "../avatar/projection.js" */
/** @import { FrameTimes } from "../draw/renderer.js" */
/** @import { LoadedAvatar } from "./player.js" */

/** A frame to be drawn, or to be returned as Gaussians; `params` are omitted where they are unchanged, `spare` comes back
 * from the page for reuse.
 * @typedef {{type: "draw", params?: HeadParams, asGaussians?: boolean,
 *   camera: Camera, spare: (Float32Array | Uint8Array)[]}} DrawRequest */
/** What the page sends: a container; the helpers that draw with this worker; a frame; and to a helper its work.
 * @typedef {{type: "load", buffer: ArrayBuffer} | {type: "draw here", ports: MessagePort[]} | DrawRequest |
 *   {type: "help", port: MessagePort, layer: LayerArrays | null}} WorkerRequest */

/** @type {PosedAvatar} */
let avatar;
/** @type {WorldGaussians} */
let worldGaussians;
/** Static arrays of the layer. @type {LayerArrays | null} */
let layerArrays = null;
/** @type {RasterTeam | null} */
let team = null;

/** @param {ArrayBuffer} buffer */
function load(buffer) {
  const container = new Container(buffer, AVATAR);
  avatar = new PosedAvatar(container);
  worldGaussians = new WorldGaussians(container);
  const { header } = container;
  layerArrays = header.layer ? {
    faces: /** @type {Uint16Array} */ (container.raw("layer.faces")),
    texelIds: /** @type {Uint16Array | Uint32Array} */ (container.raw("layer.texel_ids")),
    texels: /** @type {Uint16Array} */ (container.raw("layer.texels")),
    fades: /** @type {Float32Array} */ (container.raw("layer.fades")),
    skin: /** @type {Uint16Array} */ (container.raw("layer.skin")),
    reflections: container.floats("layer.reflections"),
    vertexCount: container.sizes.V,
  } : null;
  const motion = header.motion && {
    times: container.raw("motion.times"),
    expression: container.floats("motion.expression"),
    jointRot: container.raw("motion.joint_rot"),
    translation: container.raw("motion.translation"),
    torso: header.motion.torso ? container.raw("motion.torso") : null,
  };
  /** @type {LoadedAvatar} */
  const loaded = { type: "loaded", header, layer: layerArrays, motion, gaussians: container.sizes.N };
  postMessage(loaded);
}

/** @param {DrawRequest} request */
async function draw({ params, camera, spare, asGaussians }) {
  const start = performance.now();
  if (params) avatar.pose(params);
  const posed = performance.now();
  if (asGaussians) {
    const gaussians = worldGaussians.write(avatar, /** @type {Float32Array | undefined} */ (spare[0]));
    postMessage({ type: "frame", camera, layer: null, poseTime: posed - start, sortTime: 0, gaussians }, [gaussians.buffer]);
    return;
  }
  const view = avatar.project(camera);
  const { projection } = avatar;
  /** @type {FrameTimes} */
  const frame = { type: "frame", camera, layer: view, poseTime: posed - start, sortTime: 0 };
  if (team) {
    const bytes = /** @type {Uint8Array[]} */ (spare);
    const jobs = team.divide(projection, camera, view, avatar.layerVertices(), bytes);
    frame.sortTime = performance.now() - posed;
    const bands = await team.draw(jobs);
    postMessage({ ...frame, bands }, bands.map(({ bytes }) => bytes.buffer));
    return;
  }
  const [first, second] = /** @type {Float32Array[]} */ (spare);
  const splats = projection.write(first);
  const vertices = avatar.layerVertices(second);
  frame.sortTime = performance.now() - posed;
  const count = projection.count;
  postMessage({ ...frame, splats, count, vertices }, [splats.buffer, ...(vertices ? [vertices.buffer] : [])]);
}

/** @param {WorkerRequest} data */
async function answer(data) {
  if (data.type === "load") load(data.buffer);
  else if (data.type === "draw here") team = new RasterTeam(layerArrays, data.ports);
  else if (data.type === "draw") await draw(data);
  else helpToDraw(data.port, data.layer);
}

self.onmessage = async ({ data }) => {
  try {
    await answer(data);
  } catch (error) {
    const known = error instanceof ContainerError;
    postMessage({
      type: "failed",
      message: known ? error.message : `The avatar cannot be shown (${messageOf(error)}); export it again.`,
    });
  }
};
