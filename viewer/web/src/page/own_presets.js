/** Faces saved by a name: those exported with the avatar, and those that this browser keeps.
 *
 * The file that it saves is one of avatar/motion/presets.py. */
import { numbersOf } from "../container/container.js";
import { element } from "./expression_sliders.js";
import { addGaze, GAZE_DEGREES } from "./manual_pose.js";
/** @import { AvatarHeader } from "../container/avatar_container.js" */

const VERSION = 1;
const MOST = 99;
const MAX_NAME = 40;
const KEYS = [1, 2, 3, 4, 5, 6, 7, 8, 9];
/** What a name may not have: slashes, and what is not on one line. */
const REFUSED = /[/\\\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u;

/** A preset of a file, with the pose that the page shows.
 * @typedef {Object} PagePreset
 * @property {string} name
 * @property {Object<string, number>} weights as a file of presets has them
 * @property {Object<string, number>} sliders of this head, added to the resting face
 * @property {number[]} [eyes] degrees of both eyes: yaw to the person's left, pitch down
 * @property {number[]} [head] degrees: yaw, pitch, roll
 * @property {number[]} [jaw] degrees of the jaw joint: open, to the person's left
 * @property {number} [key] 1 to 9
 * @property {string} [source]
 * @property {string} [consent] */

/** What the page shows now.
 * @typedef {Object} ShownPose
 * @property {Map<string, number>} weights
 * @property {number[]} gaze -1..1
 * @property {number[]} turn degrees
 * @property {number[]} jaw degrees */

export class OwnPresets {
  /** @param {HTMLElement} parent of the buttons @param {AvatarHeader} header
   * @param {{show: (preset: PagePreset) => void, pose: () => ShownPose, say: (text: string) => void}} page */
  constructor(parent, header, page) {
    this.header = header;
    this.page = page;
    this.place = `headsplat presets ${header.name} ${header.provenance.tensors_sha256 ?? ""}`;
    const exported = (header.presets ?? []).filter(isPreset);
    /** @type {{preset: PagePreset, isExported: boolean}[]} */
    this.entries = exported.map((preset) => ({ preset, isExported: true }));
    for (const preset of this.#kept()) if (!this.named(preset.name)) this.entries.push({ preset, isExported: false });
    this.row = element("div", { className: "presets" });
    this.row.setAttribute("role", "group");
    this.row.setAttribute("aria-label", "Own presets");
    this.input = element("input", { type: "text", maxLength: MAX_NAME, placeholder: "Save this face as ..." });
    this.input.setAttribute("aria-label", "Name of a preset");
    this.save = element("button", { type: "button" });
    this.remove = element("button", { type: "button", textContent: "Remove" });
    this.file = element("button", { type: "button", textContent: "Save file" });
    this.file.title = "All own presets, as a file that headsplat reads from beside the avatar";
    const line = element("div", { className: "line" });
    line.append(this.input, this.save, this.remove, this.file);
    parent.append(this.row, line);
    this.input.addEventListener("input", () => this.#update());
    this.input.addEventListener("keydown", (event) => event.key === "Enter" && this.keep(this.input.value));
    this.save.addEventListener("click", () => this.keep(this.input.value));
    this.remove.addEventListener("click", () => this.#drop());
    this.file.addEventListener("click", () => this.#download());
    this.#update();
  }

  /** @param {string} name in any case */
  named(name) {
    const wanted = name.trim().toLowerCase();
    return this.entries.find(({ preset }) => preset.name.toLowerCase() === wanted);
  }

  /** Shows the preset of a key; returns whether there is one. @param {string} key */
  press(key) {
    const found = this.entries.find(({ preset }) => String(preset.key) === key);
    if (found) this.page.show(found.preset);
    return Boolean(found);
  }

  /** Keeps the pose of the page by a name. @param {string} text */
  keep(text) {
    const name = text.trim(), before = this.named(name), { say } = this.page;
    if (!name || name.length > MAX_NAME || REFUSED.test(name)) return say("Give the face a name of up to 40 characters, without slashes.");
    if (before?.isExported) return say(`${before.preset.name} was exported with the avatar; choose another name.`);
    if (!before && this.entries.length >= MOST) return say(`There are ${MOST} presets, which is the limit; remove some first.`);
    const taken = this.entries.filter((entry) => entry !== before).map(({ preset }) => preset.key);
    const key = before?.preset.key ?? KEYS.find((each) => !taken.includes(each));
    const preset = { ...presetOf(this.header, this.page.pose()), name, ...(key ? { key } : {}) };
    if (before) before.preset = preset;
    else this.entries.push({ preset, isExported: false });
    const isKept = this.#store();
    say(`${name} saved${key ? `, key ${key}` : ""}${isKept ? "" : "; this browser keeps it until the page is closed"}.`);
    this.#update();
  }

  /** The text of a file of presets. */
  fileText() {
    const rows = this.entries.map(({ preset }) => {
      const stored = Object.entries(preset).filter(([key]) => key !== "sliders" && key !== "eyes");
      return `  ${JSON.stringify(Object.fromEntries(stored))}`;
    });
    return `{\n "headsplat": "presets",\n "version": ${VERSION},\n "presets": [\n${rows.join(",\n")}\n ]\n}\n`;
  }

  #drop() {
    const found = this.named(this.input.value);
    this.entries = this.entries.filter((entry) => entry !== found);
    this.#store();
    this.#update();
  }

  #download() {
    const link = element("a", { download: `${this.header.name}.presets.json` });
    link.href = URL.createObjectURL(new Blob([this.fileText()], { type: "application/json" }));
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  /** Buttons of the presets, and of what can be done with the name. */
  #update() {
    this.row.replaceChildren(...this.entries.map(({ preset }) => {
      const text = preset.key ? `${preset.key}: ${preset.name}` : preset.name;
      const button = element("button", { type: "button", textContent: text });
      button.title = [preset.source ? `From ${preset.source}.` : "", preset.consent ?? ""].join(" ").trim();
      button.addEventListener("click", () => this.page.show(preset));
      return button;
    }));
    this.row.hidden = this.file.hidden = !this.entries.length;
    const found = this.named(this.input.value);
    this.save.textContent = found && !found.isExported ? "Replace" : "Save";
    this.remove.hidden = !found || found.isExported;
  }

  /** Presets that the browser keeps. @returns {PagePreset[]} */
  #kept() {
    try {
      const found = JSON.parse(localStorage.getItem(this.place) ?? "[]");
      return Array.isArray(found) ? found.filter(isPreset).slice(0, MOST) : [];
    } catch {
      return []; // nothing may be stored, or something else is
    }
  }

  #store() {
    const kept = this.entries.filter(({ isExported }) => !isExported).map(({ preset }) => preset);
    try {
      localStorage.setItem(this.place, JSON.stringify(kept));
      return true;
    } catch {
      return false; // a page may not store anything, or the place is full
    }
  }
}

/** @param {AvatarHeader} header @param {ShownPose} pose @returns {Omit<PagePreset, "name">} */
function presetOf(header, { weights, gaze, turn, jaw }) {
  const names = header.head.expression_names, isArkit = names.includes("jawOpen");
  const neutral = numbersOf(header, "driving.neutral", [names.length]);
  const all = new Map(weights);
  if (isArkit) addGaze(all, gaze);
  /** @type {Object<string, number>} */
  const sliders = {};
  /** @type {Object<string, number>} */
  const stored = {};
  for (const [name, weight] of all) {
    const place = names.indexOf(name);
    if (place < 0 || Math.abs(weight) < 1e-4) continue;
    sliders[name] = rounded(weight);
    // A file has weights as of a motion: 1 is the full expression, whatever the resting face has of it.
    const full = isArkit && !name.startsWith("eyelid") ? weight / Math.max(1 - neutral[place], 0.1) : weight;
    stored[name] = rounded(isArkit ? Math.min(Math.max(full, -1), 1) : full);
  }
  return {
    weights: stored,
    sliders,
    ...(isArkit ? {} : { eyes: [GAZE_DEGREES * gaze[0], -GAZE_DEGREES * gaze[1]] }),
    ...(turn.some(Boolean) ? { head: [...turn] } : {}),
    ...(jaw.some(Boolean) ? { jaw: [...jaw] } : {}),
    source: "the sliders of a page",
  };
}

/** Whether a value is a preset that the page can show. @param {unknown} value @returns {value is PagePreset} */
function isPreset(value) {
  const preset = /** @type {PagePreset | null} */ (value);
  const areNumbers = (/** @type {unknown} */ list) => list === undefined || (Array.isArray(list) && list.length <= 3 && list.every(Number.isFinite));
  const areWeights = (/** @type {unknown} */ weights) => typeof weights === "object" && weights !== null && Object.values(weights).every(Number.isFinite);
  return (
    typeof preset?.name === "string" && areWeights(preset.weights) && areWeights(preset.sliders) &&
    areNumbers(preset.eyes) && areNumbers(preset.head) && areNumbers(preset.jaw)
  );
}

/** @param {number} value */
function rounded(value) {
  return Math.round(value * 1e4) / 1e4;
}
