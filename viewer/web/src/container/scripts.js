/** Addresses of what the page has as text or bytes, and workers from them. */

/** The address of a script, or of data of another type. @param {BlobPart} content @param {string} [type] */
export function addressOf(content, type = "text/javascript") {
  return URL.createObjectURL(new Blob([content], { type }));
}

/** A policy of trusted types, for servers that require them; null where the browser has none or the server allows none.
 * @param {string} name @returns {TrustedTypePolicy | null} */
export function trustedPolicy(name) {
  try {
    return globalThis.trustedTypes?.createPolicy(name, { createScriptURL: (address) => address }) ?? null;
  } catch {
    return null; // the browser then refuses the script, and reports why
  }
}

/** Created once, since a name cannot be used twice. @type {TrustedTypePolicy | null | undefined} */
let policy;

/** Starts a worker. @param {string} address of its script @returns {Worker} */
export function startWorker(address) {
  policy ??= trustedPolicy("headsplat");
  return new Worker(policy ? policy.createScriptURL(address) : address);
}
