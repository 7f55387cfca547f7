/** The worker: reads the container, then poses, projects and sorts each requested frame. */
import { AVATAR } from "./avatar_container.js";
import { Container, ContainerError } from "./container.js";
import { PosedAvatar } from "./posed_avatar.js";

/** @type {PosedAvatar} */
let avatar;

function load(buffer) {
  const container = new Container(buffer, AVATAR);
  avatar = new PosedAvatar(container);
  const { header } = container;
  const layer = header.layer && {
    faces: container.raw("layer.faces"),
    texelIds: container.raw("layer.texel_ids"),
    texels: container.raw("layer.texels"),
    fades: container.raw("layer.fades"),
    skin: container.raw("layer.skin"),
    reflections: container.floats("layer.reflections"),
    vertexCount: container.sizes.V,
  };
  const motion = header.motion && {
    times: container.raw("motion.times"),
    expression: container.floats("motion.expression"),
    jointRot: container.raw("motion.joint_rot"),
    translation: container.raw("motion.translation"),
    torso: header.motion.torso ? container.raw("motion.torso") : null,
  };
  postMessage({ type: "loaded", header, layer, motion, gaussians: container.sizes.N });
}

/** @param {{params?: import("./head.js").HeadParams, camera: import("./projection.js").Camera, splats?: Float32Array,
 *   vertices?: Float32Array}} request arrays come back from the page for reuse */
function draw({ params, camera, splats, vertices }) {
  const start = performance.now();
  if (params) avatar.pose(params);
  const posed = performance.now();
  splats ??= new Float32Array(avatar.splatCapacity);
  const count = avatar.splats(camera, splats);
  const { layer } = avatar;
  if (layer) {
    vertices ??= new Float32Array(4 * layer.vertexCount);
    layer.writeVertices(vertices);
  }
  const frame = {
    type: "frame", camera, splats, count, vertices, layer: layer ? layer.view(avatar.skull, camera) : null,
    poseTime: posed - start, sortTime: performance.now() - posed,
  };
  postMessage(frame, [splats.buffer, ...(vertices ? [vertices.buffer] : [])]);
}

self.onmessage = ({ data }) => {
  try {
    if (data.type === "load") load(data.buffer);
    else draw(data);
  } catch (error) {
    const known = error instanceof ContainerError;
    postMessage({
      type: "failed",
      message: known ? error.message : `The avatar cannot be shown (${error.message}); export it again.`,
    });
  }
};
