/** How fast the page is, for `python -m tests.bench.bench_web` and for the console of a browser. */
/** @import { HeadParams } from "../avatar/head.js" */
/** @import { Orbit } from "./orbit.js" */
/** @import { Player } from "./player.js" */

const WARM_UP = 10; // frames that are not counted

/** What the page needs to show frames.
 * @typedef {Object} Figures
 * @property {number | null} firstFrame milliseconds from the start of loading to the first frame
 * @property {number} fps frames per second, one after the other
 * @property {number} pose milliseconds of posing the Gaussians, median
 * @property {number} sort milliseconds of projecting and sorting them, median
 * @property {number} gaussians */

/** What is measured: the page.
 * @typedef {Object} MeasuredPage
 * @property {Player} player
 * @property {Orbit} orbit
 * @property {number | null} firstFrame milliseconds, once there was one
 * @property {() => HeadParams} params
 * @property {() => void} changed */

/** Shows a smile that comes and goes, as fast as the page can; the mouth opens, too.
 * @param {MeasuredPage} app @param {number} size pixels, width and height @param {number} frames that are counted
 * @returns {Promise<Figures>} */
export async function measurePage(app, size, frames) {
  const { player, orbit } = app;
  const names = player.header.head.expression_names;
  const moved = ["mouthSmileLeft", "mouthSmileRight", "jawOpen"].map((name) => names.indexOf(name));
  const rest = app.params();
  const poses = [], sorts = [];
  let start = 0;
  for (let k = -WARM_UP; k < frames; k++) {
    if (k === 0) start = performance.now();
    const expression = [...rest.expression];
    for (const column of moved) if (column >= 0) expression[column] = 0.4 - 0.4 * Math.cos(0.3 * k);
    const frame = await player.show({ ...rest, expression }, orbit.camera(size, size));
    if (k < 0) continue;
    poses.push(frame.poseTime);
    sorts.push(frame.sortTime);
  }
  const seconds = (performance.now() - start) / 1000;
  app.changed();
  return {
    firstFrame: app.firstFrame, fps: frames / seconds, pose: median(poses), sort: median(sorts),
    gaussians: player.gaussians,
  };
}

function median(/** @type {number[]} */ values) {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
}
