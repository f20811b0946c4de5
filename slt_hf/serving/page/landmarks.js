// Landmarks of a picture, found in the browser by MediaPipe Holistic, in a worker: the page answers meanwhile.

export class LandmarkFinder {
  /** Loads 30 MB the first time; the browser keeps them. */
  static async load() {
    if (typeof OffscreenCanvas === "undefined") throw new Error("The camera needs a newer browser, of 2023 or later.");
    const finder = new LandmarkFinder();
    await finder.ask("load");
    return finder;
  }

  constructor() {
    this.worker = new Worker("page/landmark_worker.js");
    this.worker.onmessage = ({ data: { number, answer, refused } }) => {
      const { resolve, reject } = this.asked.get(number);
      this.asked.delete(number);
      if (refused === undefined) resolve(answer); else reject(new Error(`The landmark finder failed: ${refused}`));
    };
    Object.assign(this, { asked: new Map(), number: 0 });
  }

  ask(what, rest = {}, handedOver = []) {
    return new Promise((resolve, reject) => {
      this.asked.set(++this.number, { resolve, reject });
      this.worker.postMessage({ what, number: this.number, ...rest }, handedOver);
    });
  }

  /** Of a video element's picture; x and y in parts of its longer side. */
  async find(video, timeMs) {
    const image = await createImageBitmap(video);
    return { timeMs, ...await this.ask("find", { image }, [image]) };
  }

  /** Another clip begins: nothing is remembered of the last one. */
  reset() { return this.ask("reset"); }
}
