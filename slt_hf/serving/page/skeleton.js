// The skeleton, drawn as its landmarks come; what the network does meanwhile does not matter.

const WIDTHS = { body: 5, face: 1.5, left: 3, right: 3 };
const MARGIN = 0.06;

export class Skeleton {
  constructor(canvas) {
    this.canvas = canvas;
    this.pen = canvas.getContext("2d");
    this.strokes = [];
    this.frame = null;
    this.takeColours();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.takeColours());
  }

  takeColours() {
    const style = getComputedStyle(document.documentElement);
    this.colours = Object.fromEntries(Object.keys(WIDTHS).map((kind) => [kind, style.getPropertyValue(`--${kind}`)]));
  }

  /** A picture's points lie where they are in it; recorded ones are fitted to the canvas. */
  begin(video) {
    this.video = video;
    this.box = null;
  }

  draw({ points, seen }) {
    const { canvas, pen } = this, place = this.video ? this.inPicture() : this.fitted(points, seen);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.lineCap = "round";
    for (const [from, to, kind] of this.strokes) {
      if (!seen[from] || !seen[to]) continue;
      pen.strokeStyle = this.colours[kind];
      pen.lineWidth = WIDTHS[kind];
      pen.beginPath();
      pen.moveTo(...place(points[3 * from], points[3 * from + 1]));
      pen.lineTo(...place(points[3 * to], points[3 * to + 1]));
      pen.stroke();
    }
  }

  clear() { this.pen.clearRect(0, 0, this.canvas.width, this.canvas.height); }

  /** As `object-fit: contain` places the picture. */
  inPicture() {
    const { videoWidth, videoHeight } = this.video, { width, height } = this.canvas;
    const shown = Math.min(width / videoWidth, height / videoHeight), scale = shown * Math.max(videoWidth, videoHeight);
    const left = (width - shown * videoWidth) / 2, top = (height - shown * videoHeight) / 2;
    return (x, y) => [left + scale * x, top + scale * y];
  }

  /** The box grows with what is seen and never shrinks, so that nothing jumps. */
  fitted(points, seen) {
    const box = this.box ?? { left: Infinity, right: -Infinity, top: Infinity, bottom: -Infinity };
    for (const [from, to] of this.strokes) for (const at of [from, to]) {
      if (!seen[at]) continue;
      box.left = Math.min(box.left, points[3 * at]);
      box.right = Math.max(box.right, points[3 * at]);
      box.top = Math.min(box.top, points[3 * at + 1]);
      box.bottom = Math.max(box.bottom, points[3 * at + 1]);
    }
    this.box = box;
    const { width, height } = this.canvas, room = 1 - 2 * MARGIN;
    const scale = Math.min(room * width / (box.right - box.left), room * height / (box.bottom - box.top)) || 1;
    const middle = [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
    return (x, y) => [width / 2 + scale * (x - middle[0]), height / 2 + scale * (y - middle[1])];
  }
}
