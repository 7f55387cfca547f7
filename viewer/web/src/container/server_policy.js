/** What headers of the web server block: Content-Security-Policy of the page, which its workers use too; Permissions-Policy
 * of camera and microphone. */

/** Directives without which nothing works; the page does without what others block. */
const ESSENTIAL = /^(script-src|worker-src|connect-src|require-trusted-types-for|trusted-types)/;
let blocked = "";

addEventListener("securitypolicyviolation", ({ disposition, effectiveDirective }) => {
  if (disposition === "enforce" && ESSENTIAL.test(effectiveDirective)) blocked = effectiveDirective;
});

/** The directive that has blocked something; empty without one. @returns {Promise<string>} */
export async function blockedBy() {
  await new Promise((resolve) => setTimeout(resolve)); // the browser reports it after the failure
  return blocked;
}

/** The sentence for the page about what a directive blocks. @param {string} directive @param {string} what */
export function blockedSentence(directive, what) {
  return `A header of the web server blocks ${what} (${directive}); the page needs ${document.body.dataset.needs}.`;
}

/** Throws a sentence where a header, or the frame around the page, withholds a device. Only Chromium distinguishes that from the
 * answer of a person. @param {"camera" | "microphone"} device */
export function checkWithheld(device) {
  if (document.featurePolicy?.allowsFeature(device) !== false) return;
  throw new Error(
    `A header of the web server (Permissions-Policy) or the frame around this page blocks the ${device}; allow it there.`,
  );
}
