/** Pointers and keys on the image: one pointer orbits, two pinch, the wheel zooms. */
/** @import { Orbit } from "./orbit.js" */

const RADIANS_PER_PIXEL = 0.006;
const KEY_RADIANS = 0.1;
const WHEEL = 0.0015;
/** @type {Record<string, (orbit: Orbit) => void>} */
const KEYS = {
  ArrowLeft: (orbit) => orbit.turn(-KEY_RADIANS, 0),
  ArrowRight: (orbit) => orbit.turn(KEY_RADIANS, 0),
  ArrowUp: (orbit) => orbit.turn(0, KEY_RADIANS),
  ArrowDown: (orbit) => orbit.turn(0, -KEY_RADIANS),
  "+": (orbit) => orbit.zoomBy(1.15),
  "=": (orbit) => orbit.zoomBy(1.15),
  "-": (orbit) => orbit.zoomBy(1 / 1.15),
  r: (orbit) => orbit.reset(),
};

/** Moves `orbit` by gestures on `element`, and calls `changed` after each.
 * @param {HTMLElement} element @param {Orbit} orbit @param {() => void} changed */
export function followGestures(element, orbit, changed) {
  /** @type {Map<number, {x: number, y: number}>} */
  const pointers = new Map();
  const spread = () => {
    const [a, b] = [...pointers.values()];
    return Math.hypot(a.x - b.x, a.y - b.y);
  };
  element.addEventListener("pointerdown", (event) => {
    element.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  });
  element.addEventListener("pointermove", (event) => {
    const last = pointers.get(event.pointerId);
    if (!last) return;
    const before = pointers.size === 2 ? spread() : 0;
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (pointers.size === 2) orbit.zoomBy(spread() / Math.max(before, 1));
    else
      orbit.turn((last.x - event.clientX) * RADIANS_PER_PIXEL, (event.clientY - last.y) * RADIANS_PER_PIXEL);
    changed();
  });
  for (const name of /** @type {const} */ (["pointerup", "pointercancel"]))
    element.addEventListener(name, (event) => pointers.delete(event.pointerId));
  element.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      orbit.zoomBy(Math.exp(-event.deltaY * WHEEL));
      changed();
    },
    { passive: false },
  );
  element.addEventListener("dblclick", () => {
    orbit.reset();
    changed();
  });
  element.addEventListener("keydown", (event) => {
    const action = KEYS[event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    action(orbit);
    changed();
  });
}
