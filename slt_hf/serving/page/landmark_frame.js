// What Holistic found, in the order of the layout holistic_543: 33 points of the body, 468 of the face, 21 a hand.

const FACE = 33, LEFT = 501, RIGHT = 522, POINTS = 543;
const SEEN = 0.15; // a body point of lower visibility is a guess: legs under the table

/** Of a picture so large; x and y in parts of its longer side. */
function frameOf(results, width, height) {
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
