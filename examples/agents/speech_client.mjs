/** An agent's connection to an avatar that `headsplat serve` serves, for browsers and Node.js 22: one file, no dependency.
 *
 *     const voice = await SpeechClient.connect("http://127.0.0.1:8788/?token=...", (event) => console.log(event));
 *     voice.pushText("Hello, Bob.");                 // optional, English: better lips
 *     voice.pushAudio(samples, 24000);               // Float32Array of -1..1, or Int16Array
 *     voice.endSegment();                            // or voice.interrupt()
 *
 * Pages of another server need `headsplat serve --origin`, with the origin of the page. */

const VERSION = 1;
const PIECE = 8192; // samples of a message

export class SpeechClient {
  /** @param {string} address that `headsplat serve` has printed
   * @param {(event: {type: string}) => void} onevent receives `ended`, `state` and `error`
   * @returns {Promise<SpeechClient>} rejected with an error where it cannot speak */
  static connect(address, onevent = () => {}) {
    const url = new URL(address);
    url.protocol = url.protocol.replace("http", "ws");
    url.pathname = "/speak";
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(url);
      socket.onclose = ({ reason }) => reject(new Error(`cannot speak: ${reason || "the connection is refused"}`));
      socket.onmessage = ({ data }) => {
        const event = JSON.parse(data);
        if (event.type !== "hello") onevent(event);
        else if (event.version === VERSION) resolve(new SpeechClient(socket, event));
        else socket.close();
      };
    });
  }

  /** @param {WebSocket} socket @param {object} hello of the server */
  constructor(socket, hello) {
    this.socket = socket;
    this.hello = hello;
    this.rate = 0;
  }

  /** Appends sound of the voice. @param {Float32Array | Int16Array} samples @param {number} rate a second */
  pushAudio(samples, rate) {
    if (rate !== this.rate) this.#send("start", { rate });
    this.rate = rate;
    const view = new DataView(new ArrayBuffer(2 * samples.length));
    const scale = samples instanceof Float32Array ? 32767 : 1;
    samples.forEach((value, k) => view.setInt16(2 * k, Math.max(-32768, Math.min(32767, Math.round(scale * value))), true));
    for (let at = 0; at < samples.length; at += PIECE) this.socket.send(view.buffer.slice(2 * at, 2 * (at + PIECE)));
  }

  /** What the voice says in this segment. @param {string} text */
  pushText(text) {
    this.#send("text", { text });
  }

  /** Changes the expression under the speech. @param {string | Record<string, number>} name of a preset, or weights
   * @param {number} amount 0..1.5 @param {number} seconds in which it changes */
  emotion(name, amount = 1, seconds = 0.4) {
    this.#send("emotion", { name, amount, seconds });
  }

  /** The voice has nothing more to say in this turn. */
  endSegment() {
    this.#send("end");
  }

  /** Be silent now. */
  interrupt() {
    this.#send("interrupt");
  }

  /** Asks for an event `state`. */
  requestState() {
    this.#send("state");
  }

  /** What was pushed is spoken to its end. */
  close() {
    this.socket.close();
  }

  /** @param {string} type @param {object} entries */
  #send(type, entries = {}) {
    this.socket.send(JSON.stringify({ type, ...entries }));
  }
}
