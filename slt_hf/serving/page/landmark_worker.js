// A worker that finds landmarks: a picture takes seconds where there is no GPU, and the page must answer meanwhile.
// MediaPipe Holistic (2023) is written for pages: it adds script tags, and draws on a canvas of the document. Below it
// finds a window and a document that do just that with what a worker has.

importScripts("landmark_frame.js");

const scriptTag = () => {
  const tag = new EventTarget();
  tag.setAttribute = (name, value) => { tag[name] = value; };
  return tag;
};
const add = (element) => {
  if (!element.src) return; // a canvas is drawn on wherever it is
  let loaded = "load";
  try { importScripts(element.src); } catch { loaded = "error"; }
  setTimeout(() => element.dispatchEvent(new Event(loaded)));
};
self.window = self;
self.document = {
  createElement: (kind) => (kind === "script" ? scriptTag() : Object.assign(new OffscreenCanvas(1, 1), { style: {} })),
  body: { appendChild: add },
  addEventListener() {}, // for a pointer and a full screen, which a worker has not
};

let holistic = null, results = null;

const asked = {
  async load() {
    importScripts("holistic/holistic.js");
    holistic = new Holistic({ locateFile: (name) => `holistic/${name}` });
    holistic.setOptions({ modelComplexity: 1, smoothLandmarks: true, refineFaceLandmarks: false });
    holistic.onResults((found) => { results = found; });
    await holistic.initialize();
  },
  async find({ image }) {
    await holistic.send({ image });
    const frame = frameOf(results, image.width, image.height);
    image.close();
    return frame;
  },
  reset: () => holistic.reset(), // another clip begins: nothing is remembered of the last one
};

async function answer({ what, number, ...rest }) {
  try {
    postMessage({ number, answer: await asked[what](rest) });
  } catch (error) {
    postMessage({ number, refused: error.message ?? String(error) });
  }
}

let turn = Promise.resolve(); // one thing at a time: Holistic has one clip, and one result
self.onmessage = ({ data }) => { turn = turn.then(() => answer(data)); };
