/** Reads files of a web server. */

const MAX_BYTES = 1 << 28;

/** The bytes of a file. @param {string | URL} source @returns {Promise<ArrayBuffer>} rejected with a sentence for the page */
export async function fetched(source) {
  const name = String(source).split("/").pop();
  let response;
  try {
    response = await fetch(source);
  } catch {
    throw new Error(`${name} cannot be loaded; check its address.`);
  }
  if (!response.ok) throw new Error(`${name} cannot be loaded (status ${response.status}); check its address.`);
  if (Number(response.headers.get("Content-Length")) > MAX_BYTES)
    throw new Error(`${name} is larger than ${MAX_BYTES >> 20} MB; it is no avatar for the web.`);
  return response.arrayBuffer();
}
