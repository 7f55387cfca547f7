/** The avatar on the processor: from head parameters and a camera to what the graphics card draws. */
import { Blendshapes } from "./blendshapes.js";
import { BoundGaussians } from "./gaussians.js";
import { Head } from "./head.js";
import { add, apply, multiply } from "./linear.js";
import { PosedLayer } from "./mesh_layer.js";
import { Projection } from "./projection.js";
import { Stretch } from "./stretch.js";
import { TorsoMap } from "./torso.js";
/** @import { AvatarContainer } from "../container/avatar_container.js" */
/** @import { HeadParams, RigidPose } from "./head.js" */
/** @import { LayerView } from "./mesh_layer.js" */
/** @import { Camera } from "./projection.js" */

export class PosedAvatar {
  /** @param {AvatarContainer} container */
  constructor(container) {
    this.head = new Head(container);
    this.torso = new TorsoMap(container);
    this.blendshapes = new Blendshapes(container, this.head.expressions);
    this.stretch = new Stretch(container, this.head.template);
    this.gaussians = new BoundGaussians(container, this.blendshapes);
    const hasLayer = Boolean(container.header.layer);
    this.layer = hasLayer ? new PosedLayer(container, this.head.vertexCount) : null;
    this.projection = new Projection(
      container.sizes.N, hasLayer ? container.raw("layer.gaussian_fades") : undefined,
    );
    /** From the first pose on. @type {RigidPose | null} */
    this.skull = null;
  }

  /** Poses mesh, Gaussians and layer. @param {HeadParams} params */
  pose(params) {
    this.skull = this.head.skullPose(params);
    this.head.poseVertices(params);
    this.stretch.measure(this.head.vertices);
    this.blendshapes.blend(params);
    const features = this.torso.features(this.skull);
    const torso = this.torso.pose(features, params.torso);
    this.gaussians.pose(this.head.vertices, this.stretch.tensors, this.skull, torso, features.slice(1, 4));
    this.layer?.pose(this.head.vertices);
  }

  /** Projects and sorts the posed Gaussians.
   * @param {Camera} camera
   * @returns {LayerView | null} the layer as the camera sees it */
  project(camera) {
    const { rotation, translation } = camera, { skull } = this;
    if (!skull) throw new Error("it has no pose");
    const fromSkull = {
      ...camera, rotation: multiply(rotation, skull.rotation),
      translation: add(apply(rotation, skull.translation), translation),
    };
    this.projection.project(this.gaussians, fromSkull);
    return this.layer ? this.layer.view(fromSkull) : null;
  }

  /** Position and shade [V,4] of the posed layer; null without one. @param {Float32Array} [out] memory to use */
  layerVertices(out) {
    return this.layer ? this.layer.writeVertices(out) : null;
  }
}
