/** The directions of the head that were shown, as in a mirror, and where the head points. */
const NAMESPACE = "http://www.w3.org/2000/svg";
const RADIUS = 88;
const REACH = 64; // of the dot
const GAP = 0.07; // radians between two sectors

/** Draws the ring. @param {Element} svg @param {number[]} ring shares 0..1 of its sectors, counterclockwise from the person's left
 * @param {[number, number] | null} pointing to the person's left and up; 1: the ring */
export function drawRing(svg, ring, pointing) {
  const step = (2 * Math.PI) / ring.length;
  const parts = ring.flatMap((share, index) => {
    const middle = Math.PI + index * step, half = (step - GAP) / 2; // the person's left is at the left
    const open = arc(middle, half, "open");
    return share > 0 ? [open, arc(middle, half * Math.min(share, 1), "seen")] : [open];
  });
  if (pointing) {
    const scale = REACH / Math.max(Math.hypot(...pointing), 1);
    parts.push(element("circle", { cx: -scale * pointing[0], cy: -scale * pointing[1], r: 9 }));
  }
  svg.replaceChildren(...parts);
}

/** @param {number} middle @param {number} half @param {string} name of its class */
function arc(middle, half, name) {
  const at = (/** @type {number} */ angle) => `${(RADIUS * Math.cos(angle)).toFixed(2)} ${(RADIUS * Math.sin(angle)).toFixed(2)}`;
  return element("path", { d: `M ${at(middle - half)} A ${RADIUS} ${RADIUS} 0 0 1 ${at(middle + half)}`, class: name });
}

/** @param {string} name @param {Record<string, string | number>} attributes */
function element(name, attributes) {
  const made = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  return made;
}
