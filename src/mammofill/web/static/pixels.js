// Drawing 16-bit pixels through a display window, and masks packed to bits.

export async function uint16Pixels(answer, side) {
  const bytes = await answer.arrayBuffer();
  const view = new DataView(bytes);
  const values = new Uint16Array(side * side);
  for (let place = 0; place < values.length; place++) values[place] = view.getUint16(place * 2, true);
  return values;
}

export function displayRange(values) {
  const sorted = Uint16Array.from(values).sort();
  return [sorted[Math.floor(sorted.length * 0.005)], sorted[Math.ceil(sorted.length * 0.995) - 1]];
}

// Display window: level is its centre, width its range, both in 0..65535.
export function draw(canvas, values, side, window) {
  canvas.width = canvas.height = side;
  const low = window.level - window.width / 2, share = 255 / Math.max(window.width, 1);
  const picture = new ImageData(side, side);
  for (let place = 0; place < values.length; place++) {
    const gray = (values[place] - low) * share;
    picture.data.fill(gray, place * 4, place * 4 + 3);
    picture.data[place * 4 + 3] = 255;
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

export function drawDifference(canvas, values, before, side, window) {
  canvas.width = canvas.height = side;
  const picture = new ImageData(side, side);
  const share = 510 / Math.max(window.width, 1);
  for (let place = 0; place < values.length; place++) {
    const change = (values[place] - before[place]) * share;
    picture.data[place * 4] = 128 + change;
    picture.data[place * 4 + 1] = 128 - Math.abs(change) / 4;
    picture.data[place * 4 + 2] = 128 - change;
    picture.data[place * 4 + 3] = 255;
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

export function packMask(mask) {
  const bytes = new Uint8Array(Math.ceil(mask.length / 8));
  mask.forEach((on, place) => { if (on) bytes[place >> 3] |= 128 >> (place & 7); });
  let text = "";
  for (let start = 0; start < bytes.length; start += 4096) text += String.fromCharCode(...bytes.subarray(start, start + 4096));
  return btoa(text);
}

export function unpackMask(text, length) {
  const bytes = atob(text);
  return Uint8Array.from({ length }, (_, place) => (bytes.charCodeAt(place >> 3) >> (7 - (place & 7))) & 1);
}

export function maskArea(mask) {
  return mask.reduce((sum, on) => sum + on, 0);
}

// The boundary pixels of a mask: those with a 4-neighbour outside of it.
export function maskBoundary(mask, side) {
  return mask.map((on, place) => {
    if (!on) return 0;
    const column = place % side, row = (place - column) / side;
    const inside = row && column && row < side - 1 && column < side - 1
      && mask[place - 1] && mask[place + 1] && mask[place - side] && mask[place + side];
    return inside ? 0 : 1;
  });
}
