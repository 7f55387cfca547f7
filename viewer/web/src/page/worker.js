/** The worker: reads the container, then poses, projects and sorts each requested frame, and draws it where no graphics
 * card does. The same script is that of the helpers, which only draw. */
import { AVATAR } from "../container/avatar_container.js";
import { Container, ContainerError } from "../container/container.js";
import { PosedAvatar } from "../avatar/posed_avatar.js";
import { helpToDraw, RasterTeam } from "../draw_cpu/raster_team.js";

/** @type {PosedAvatar} */
let avatar;
/** Static arrays of the layer. */
let layerArrays = null;
/** @type {RasterTeam | null} */
let team = null;

function load(buffer) {
  const container = new Container(buffer, AVATAR);
  avatar = new PosedAvatar(container);
  const { header } = container;
  layerArrays = header.layer ? {
    faces: container.raw("layer.faces"),
    texelIds: container.raw("layer.texel_ids"),
    texels: container.raw("layer.texels"),
    fades: container.raw("layer.fades"),
    skin: container.raw("layer.skin"),
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
  postMessage({ type: "loaded", header, layer: layerArrays, motion, gaussians: container.sizes.N });
}

/** @param {{params?: import("../avatar/head.js").HeadParams, camera: import("../avatar/projection.js").Camera,
 *   spare: (Float32Array | Uint8Array)[]}} request `spare` comes back from the page for reuse */
async function draw({ params, camera, spare }) {
  const start = performance.now();
  if (params) avatar.pose(params);
  const posed = performance.now();
  const view = avatar.project(camera);
  const { projection } = avatar;
  const frame = { type: "frame", camera, layer: view, poseTime: posed - start };
  if (team) {
    const jobs = team.divide(projection, camera, view, avatar.layerVertices(), spare);
    frame.sortTime = performance.now() - posed;
    const bands = await team.draw(jobs);
    postMessage({ ...frame, bands }, bands.map(({ bytes }) => bytes.buffer));
    return;
  }
  const splats = projection.write(spare[0]);
  const vertices = avatar.layerVertices(spare[1]);
  frame.sortTime = performance.now() - posed;
  const count = projection.count;
  postMessage({ ...frame, splats, count, vertices }, [splats.buffer, ...(vertices ? [vertices.buffer] : [])]);
}

async function answer(data) {
  if (data.type === "load") load(data.buffer);
  else if (data.type === "draw here") team = new RasterTeam(layerArrays, data.ports);
  else if (data.type === "draw") await draw(data);
  else {
    helpToDraw(data.port, data.layer);
    postMessage({ type: "ready" });
  }
}

self.onmessage = async ({ data }) => {
  try {
    await answer(data);
  } catch (error) {
    const known = error instanceof ContainerError;
    postMessage({
      type: "failed",
      message: known ? error.message : `The avatar cannot be shown (${error.message}); export it again.`,
    });
  }
};
