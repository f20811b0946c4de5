// Landmarks of a picture, found in the browser by MediaPipe Holistic: 33 of the body, 468 of the face, 21 a hand,
// in the order of the layout holistic_543.

const FOLDER = "page/holistic/";
const FACE = 33, LEFT = 501, RIGHT = 522, POINTS = 543;
const SEEN = 0.15; // a body point of lower visibility is a guess: legs under the table

let script = null;

function loadScript() {
  script ??= new Promise((resolve, reject) => {
    const tag = document.createElement("script");
    tag.src = `${FOLDER}holistic.js`;
    tag.onload = resolve;
    tag.onerror = () => reject(new Error("The landmark finder could not be loaded from this server."));
    document.head.append(tag);
  });
  return script;
}

export class LandmarkFinder {
  /** Loads 30 MB the first time; the browser keeps them. */
  static async load() {
    await loadScript();
    const finder = new LandmarkFinder();
    finder.holistic = new window.Holistic({ locateFile: (name) => FOLDER + name });
    finder.holistic.setOptions({ modelComplexity: 1, smoothLandmarks: true, refineFaceLandmarks: false });
    finder.holistic.onResults((results) => { finder.results = results; });
    await finder.holistic.initialize();
    return finder;
  }

  /** Of a video element's picture; x and y in parts of its longer side. */
  async find(video, timeMs) {
    await this.holistic.send({ image: video });
    return { timeMs, ...frameOf(this.results, video.videoWidth, video.videoHeight) };
  }

  /** Another clip begins: nothing is remembered of the last one. */
  reset() { this.holistic.reset(); }
}

export function frameOf(results, width, height) {
  const points = new Float32Array(3 * POINTS), seen = new Uint8Array(POINTS), longer = Math.max(width, height);
  const put = (found, start, count, visible) => (found ?? []).slice(0, count).forEach((point, i) => {
    points.set([point.x * width / longer, point.y * height / longer, point.z * width / longer], 3 * (start + i));
    seen[start + i] = visible(point) ? 1 : 0;
  });
  put(results.poseLandmarks, 0, FACE, (point) => point.visibility > SEEN);
  put(results.faceLandmarks, FACE, LEFT - FACE, () => true);
  put(results.leftHandLandmarks, LEFT, 21, () => true);
  put(results.rightHandLandmarks, RIGHT, 21, () => true);
  return { points, seen };
}
