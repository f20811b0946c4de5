// A frame as it travels: see slt_hf/serving/frames.py. Little-endian float64 milliseconds, uint32 number, three float16
// a point, and after all points one byte each, 0 where it was not detected.

const HEADER = 12;
const single = new Float32Array(1);
const bits = new Uint32Array(single.buffer);

/** Bits of the nearest float16; browsers before 2025 have no Float16Array. */
export function toHalf(value) {
  single[0] = value;
  const all = bits[0], sign = (all >>> 16) & 0x8000, size = all & 0x7fffffff;
  if (size >= 0x47800000) return sign | (size > 0x7f800000 ? 0x7e00 : 0x7c00);
  if (size < 0x38800000) return sign | Math.round(Math.abs(single[0]) * 2 ** 24); // subnormal
  const rounded = size + 0x0fff + ((size >>> 13) & 1); // ties to even
  return sign | ((rounded - 0x38000000) >>> 13);
}

export function fromHalf(half) {
  const sign = half & 0x8000 ? -1 : 1, exponent = (half >>> 10) & 31, fraction = half & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return exponent ? sign * 2 ** (exponent - 15) * (1 + fraction / 1024) : sign * 2 ** -24 * fraction;
}

/** points Float32Array(3 V), seen Uint8Array(V) -> ArrayBuffer. */
export function pack({ timeMs, points, seen }, number) {
  const buffer = new ArrayBuffer(HEADER + 7 * seen.length), view = new DataView(buffer);
  view.setFloat64(0, timeMs, true);
  view.setUint32(8, number, true);
  for (let i = 0; i < points.length; i++) view.setUint16(HEADER + 2 * i, toHalf(points[i]), true);
  new Uint8Array(buffer, HEADER + 2 * points.length).set(seen);
  return buffer;
}

/** Frames that stand one behind another, as `/example` gives them. */
export function unpackAll(buffer, numPoints) {
  const size = HEADER + 7 * numPoints, frames = [];
  for (let start = 0; start + size <= buffer.byteLength; start += size) {
    const view = new DataView(buffer, start, size), points = new Float32Array(3 * numPoints);
    for (let i = 0; i < points.length; i++) points[i] = fromHalf(view.getUint16(HEADER + 2 * i, true));
    const seen = new Uint8Array(buffer.slice(start + HEADER + 6 * numPoints, start + size));
    frames.push({ timeMs: view.getFloat64(0, true), points, seen });
  }
  return frames;
}
