/** The address of a stream of the server of this page, with its token. @param {string} name @returns {URL} */
export function streamAddress(name) {
  const address = new URL(name, location.href);
  address.protocol = "ws:";
  address.search = location.search;
  address.hash = "";
  return address;
}
