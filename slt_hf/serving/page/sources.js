// What is watched: a camera, a video that stays in this browser, or recorded landmarks. Each calls `onFrame` with
// {timeMs, points, seen} and `onEnd` when there is no more, with the reason if something failed. All times are on the page's clock, performance.now().

import { unpackAll } from "./frame.js";

/** Pictures of a video element, one at a time: while one is looked at, newer ones replace each other. */
class Pictures {
  constructor(video, finder, onFrame, onEnd) {
    Object.assign(this, { video, finder, onFrame, onEnd, running: true, began: performance.now() });
    finder.reset();
    this.loop().catch((error) => { if (this.running) onEnd(error.message); });
  }

  async loop() {
    while (this.running) {
      const { now, mediaTime } = await nextPicture(this.video);
      if (!this.running) return;
      if (this.video.ended) return this.onEnd();
      const frame = await this.finder.find(this.video, this.live ? now : this.began + 1000 * mediaTime);
      if (this.running) this.onFrame(frame);
    }
  }

  stop() {
    this.running = false;
    this.video.pause();
  }
}

function nextPicture(video) {
  return new Promise((resolve) => {
    const ended = () => resolve({ now: performance.now(), mediaTime: video.currentTime });
    video.addEventListener("ended", ended, { once: true });
    const come = (now, about) => { video.removeEventListener("ended", ended); resolve({ now, ...about }); };
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(come);
    else requestAnimationFrame((now) => come(now, { mediaTime: video.currentTime }));
  });
}

export class Camera extends Pictures {
  static async open(video, finder, onFrame, onEnd) {
    const media = await navigator.mediaDevices.getUserMedia({
      video: { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 }, facingMode: "user" },
    });
    video.srcObject = media;
    await video.play();
    const camera = new Camera(video, finder, onFrame, onEnd);
    camera.media = media;
    return camera;
  }

  live = true;

  stop() {
    super.stop();
    this.media.getTracks().forEach((track) => track.stop());
    this.video.srcObject = null;
  }
}

export class VideoFile extends Pictures {
  static async open(video, file, finder, onFrame, onEnd) {
    video.src = URL.createObjectURL(file);
    await video.play();
    return new VideoFile(video, finder, onFrame, onEnd);
  }

  stop() {
    super.stop();
    URL.revokeObjectURL(this.video.src);
    this.video.removeAttribute("src");
    this.video.load();
  }
}

export class Recording {
  constructor(buffer, numPoints, onFrame, onEnd) {
    this.frames = unpackAll(buffer, numPoints);
    Object.assign(this, { onFrame, onEnd, at: 0, began: performance.now(), running: true });
    this.step();
  }

  step() {
    if (!this.running) return;
    const now = performance.now() - this.began;
    while (this.at < this.frames.length && this.frames[this.at].timeMs <= now) {
      const frame = this.frames[this.at++];
      this.onFrame({ ...frame, timeMs: this.began + frame.timeMs });
    }
    if (this.at < this.frames.length) this.timer = setTimeout(() => this.step(), 10);
    else this.onEnd();
  }

  stop() {
    this.running = false;
    clearTimeout(this.timer);
  }
}
