/** Workers that draw parts of the image, where the processor draws it. */
import { startWorker } from "../container/scripts.js";
/** @import { LayerArrays } from "../avatar/mesh_layer.js" */

const MOST = 4; // workers that draw; more would wait for memory and for each other

/** Starts the helpers of a worker, and lets that one draw.
 * @param {string} script address of that of the workers @param {Worker} leader @param {LayerArrays | null} layer static arrays of the layer
 * @returns {Worker[]} */
export function startHelpers(script, leader, layer) {
  const channels = Array.from({ length: helperCount() }, () => new MessageChannel());
  const helpers = channels.map(({ port1 }) => {
    const helper = startWorker(script);
    helper.postMessage({ type: "help", port: port1, layer }, [port1]);
    return helper;
  });
  const ports = channels.map(({ port2 }) => port2);
  leader.postMessage({ type: "draw here", ports }, ports);
  return helpers;
}

/** One worker for each core draws, the leader among them. */
function helperCount() {
  return Math.min(navigator.hardwareConcurrency || 1, MOST) - 1;
}
