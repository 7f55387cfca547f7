/** Sliders of the expressions in groups, with search and presets. */
import { numbersOf } from "../container/container.js";
/** @import { AvatarHeader } from "../container/avatar_container.js" */

/** @type {[string, RegExp][]} */
const GROUPS = [
  ["Brows", /^brow/],
  ["Eyelids", /^(eye(Blink|Squint|Wide)|eyelid)/],
  ["Gaze of each eye", /^eyeLook/],
  ["Cheeks and nose", /^(cheek|nose)/],
  ["Jaw", /^jaw/],
  ["Mouth", /^mouth/],
  ["Tongue", /^tongue/],
  ["Other expressions", /./],
];
/** Of gaze and head, as in `Sliders` of manual_pose.js: title, which numbers, which of them, lowest, highest, step.
 * @type {[string, "gaze" | "turn", number, number, number, number][]} */
export const HEAD_SLIDERS = [
  ["Look left", "gaze", 0, -1, 1, 0.01],
  ["Look up", "gaze", 1, -1, 1, 0.01],
  ["Turn head", "turn", 0, -40, 40, 1],
  ["Nod", "turn", 1, -30, 30, 1],
  ["Tilt", "turn", 2, -30, 30, 1],
];
/** Names without a side stand for both sides. */
const PRESETS = {
  Neutral: {},
  Smile: { mouthSmile: 0.7, cheekSquint: 0.4, eyeSquint: 0.2 },
  Surprise: { browInnerUp: 0.8, browOuterUp: 0.7, eyeWide: 0.6, jawOpen: 0.35 },
  Sad: { browInnerUp: 0.7, mouthFrown: 0.7, mouthShrugLower: 0.3 },
  Angry: { browDown: 0.8, noseSneer: 0.5, mouthPress: 0.4 },
  Kiss: { mouthPucker: 0.9 },
  Wink: { eyeBlinkLeft: 1, mouthSmileLeft: 0.5 },
  "Open mouth": { jawOpen: 0.7 },
};

export class ExpressionSliders {
  /** @param {HTMLElement} parent of groups and presets @param {HTMLInputElement} search @param {AvatarHeader} header
   * @param {() => void} changed @param {() => void} [ease] called before a preset changes the weights */
  constructor(parent, search, header, changed, ease = () => {}) {
    /** Weights by name. @type {Map<string, number>} */
    this.weights = new Map();
    this.changed = changed;
    this.ease = ease;
    /** Sliders by name. @type {Map<string, {input: HTMLInputElement, show: (weight: number) => void}>} */
    this.inputs = new Map();
    const names = header.head.expression_names, count = names.length;
    const limits = numbersOf(header, "head.expression_limits", [2, count]);
    parent.append(this.#presets(names));
    const rest = new Set(names);
    for (const [title, pattern] of GROUPS) {
      const members = [...rest].filter((name) => pattern.test(name));
      members.forEach((name) => rest.delete(name));
      if (!members.length) continue;
      const group = element("details", { open: title === "Mouth" || title === "Jaw" });
      group.append(element("summary", { textContent: title }));
      for (const name of members) {
        const place = names.indexOf(name);
        group.append(this.#slider(name, limits[place], limits[count + place]));
      }
      parent.append(group);
    }
    search.addEventListener("input", () => this.#filter(parent, search.value));
  }

  /** Sets the weights and the sliders. @param {Object<string, number>} weights by name */
  set(weights) {
    this.weights.clear();
    for (const [name, { input, show }] of this.inputs) {
      const weight = weights[name] ?? 0;
      if (weight) this.weights.set(name, weight);
      input.value = String(weight);
      show(weight);
    }
    this.changed();
  }

  /** @param {string[]} names */
  #presets(names) {
    const row = element("div", { className: "presets" });
    row.setAttribute("role", "group");
    row.setAttribute("aria-label", "Presets");
    for (const [title, preset] of Object.entries(PRESETS)) {
      /** @type {Object<string, number>} */
      const weights = {};
      for (const [name, weight] of Object.entries(preset))
        for (const full of [name, `${name}Left`, `${name}Right`]) if (names.includes(full)) weights[full] = weight;
      if (Object.keys(preset).length && !Object.keys(weights).length) continue;
      const button = element("button", { type: "button", textContent: title });
      button.addEventListener("click", () => {
        this.ease();
        this.set(weights);
      });
      row.append(button);
    }
    return row;
  }

  /** @param {string} name @param {number} low @param {number} high */
  #slider(name, low, high) {
    const title = name.replace(/([A-Z])/g, (letter) => ` ${letter.toLowerCase()}`).replace(/^./, (c) => c.toUpperCase());
    const { row, input, show } = slider(title, low, high, 0.01, 0, (weight) => {
      if (weight) this.weights.set(name, weight);
      else this.weights.delete(name);
      this.changed();
    });
    row.dataset.name = `${name} ${title}`.toLowerCase();
    input.dataset.expression = name;
    this.inputs.set(name, { input, show });
    return row;
  }

  /** @param {HTMLElement} parent @param {string} text */
  #filter(parent, text) {
    const wanted = text.trim().toLowerCase();
    for (const group of parent.querySelectorAll("details")) {
      let found = 0;
      for (const row of group.querySelectorAll("label")) {
        row.hidden = Boolean(wanted) && !row.dataset.name?.includes(wanted);
        found += row.hidden ? 0 : 1;
      }
      group.hidden = !found;
      if (wanted && found) group.open = true;
    }
  }
}

/** A labelled slider with its value.
 * @param {string} title @param {number} low @param {number} high @param {number} step @param {number} value
 * @param {(value: number) => void} moved */
export function slider(title, low, high, step, value, moved) {
  const row = element("label", { className: "slider" });
  const output = element("output", {});
  const input = element("input", { type: "range", min: low, max: high, step, value });
  const show = (/** @type {number} */ shown) => (output.textContent = step < 1 ? shown.toFixed(2) : String(shown));
  input.addEventListener("input", () => {
    show(Number(input.value));
    moved(Number(input.value));
  });
  input.addEventListener("dblclick", () => {
    input.value = String(value);
    input.dispatchEvent(new Event("input"));
  });
  show(value);
  row.append(element("span", { textContent: title }), input, output);
  return { row, input, show };
}

/** @template {keyof HTMLElementTagNameMap} K @param {K} tag @param {object} properties
 * @returns {HTMLElementTagNameMap[K]} */
export function element(tag, properties) {
  return Object.assign(document.createElement(tag), properties);
}
