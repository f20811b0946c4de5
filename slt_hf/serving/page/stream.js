// The socket: frames out, events in. It opens when the first frame is sent, and again after the server closed it.

import { pack } from "./frame.js";

const KEY_PROTOCOL = "slt-hf.key.";
const WAITING_BYTES = 32 * 1024; // more is not put behind what the network has not taken: the newest frame matters
const RETRY_MS = 3000;
const KEPT_FRAMES = 1500; // of landmarks, in this tab alone, in case its user corrects what was read

export class Stream {
  constructor({ onEvent, onState }) {
    Object.assign(this, { onEvent, onState, number: 0, skipped: 0, sentAt: new Map(), kept: [], retryAt: 0, socket: null });
  }

  configure({ model, layout, key }) {
    this.close();
    Object.assign(this, { model, layout, key, retryAt: 0 });
  }

  open() {
    const address = new URL("stream", document.baseURI);
    address.protocol = address.protocol.replace("http", "ws");
    address.search = new URLSearchParams({ model: this.model, layout: this.layout });
    const socket = new WebSocket(address, this.key ? [KEY_PROTOCOL + this.key] : []);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.onState("connected");
    socket.onmessage = (message) => this.take(JSON.parse(message.data));
    socket.onclose = ({ code, reason }) => {
      if (this.socket !== socket) return;
      this.socket = null;
      this.retryAt = performance.now() + RETRY_MS;
      this.onState("closed", reason || (code === 1006 ? "The server was not reached, or refused the key." : ""));
    };
    this.socket = socket;
  }

  send(frame) {
    if (!this.socket && performance.now() > this.retryAt) this.open();
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    if (this.socket.bufferedAmount > WAITING_BYTES) { this.skipped++; return; }
    const number = this.number++;
    this.sentAt.set(number, performance.now());
    this.sentAt.delete(number - 1000);
    const packed = pack(frame, number);
    this.socket.send(packed);
    this.kept.push([frame.timeMs, packed]);
    if (this.kept.length > KEPT_FRAMES) this.kept.shift();
  }

  /** The frames of a time that is not long past. */
  between(startMs, endMs) {
    return new Blob(this.kept.filter(([time]) => time >= startMs && time <= endMs).map(([, packed]) => packed));
  }

  /** The utterance is over. */
  finish() {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send("finish");
  }

  take(event) {
    const sent = this.sentAt.get(event.frame);
    this.onEvent({ ...event, dropped: event.dropped + this.skipped,
                   latencyMs: sent === undefined ? null : performance.now() - sent });
  }

  close() {
    const socket = this.socket;
    this.socket = null;
    socket?.close(1000);
  }
}
