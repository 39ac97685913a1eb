// The picture with its faces: brackets, labels, and the claims of the chosen face led out to where they can be read.

const COLOURS = { verified: "#7fd3a2", rejected: "#f29a8e", abstained: "#e9c46a", none: "#d9d4c9" };
const DARK = "rgb(16 18 17 / 0.82)";

export const plain = (cue) => cue.replaceAll("_", " ");
/** Which way a cue is said to move; of one at rest, whether one side alone is denied. */
const arrow = ({ cue, direction }, statements) => {
  if (direction) return direction > 0 ? "↑" : "↓";
  const said = statements.find(({ kind, subject }) => kind === "rest" && subject === cue);
  return said?.within[0] <= -99 ? "not ↑" : "=";
};

/** Draw a frame on `canvas`; `chosen` is the track of the face whose claims are shown. Returns the faces' boxes in CSS pixels. */
export function drawStage(canvas, frame, chosen, cues) {
  const { reading, points, picture, mirrored } = frame;
  canvas.style.aspectRatio = `${reading.width} / ${reading.height}`;
  const width = canvas.clientWidth, height = canvas.clientHeight, dense = Math.min(2, devicePixelRatio || 1);
  canvas.width = Math.round(width * dense);
  canvas.height = Math.round(height * dense);
  const scale = Math.min(width / reading.width, height / reading.height);
  const left = (width - reading.width * scale) / 2, top = (height - reading.height * scale) / 2;
  const x = (value) => left + (mirrored ? reading.width - value : value) * scale, y = (value) => top + value * scale;
  const pen = canvas.getContext("2d");
  pen.setTransform(dense, 0, 0, dense, 0, 0);
  if (picture) drawPicture(pen, picture, left, top, reading.width * scale, reading.height * scale, mirrored);
  return reading.faces.map((face, i) => {
    const [x1, y1, x2, y2] = face.box;
    const box = { track: face.track, x: Math.min(x(x1), x(x2)), y: y(y1), w: (x2 - x1) * scale, h: (y2 - y1) * scale };
    const spots = points[i].map(([px, py]) => ({ x: x(px), y: y(py) }));
    drawFace(pen, face, box, spots, face.track === chosen);
    if (face.track === chosen && face.explanation?.status === "verified") drawClaims(pen, face, box, spots, cues, width, height);
    return box;
  });
}

function drawPicture(pen, picture, left, top, width, height, mirrored) {
  pen.save();
  if (mirrored) {
    pen.translate(2 * left + width, 0);
    pen.scale(-1, 1);
  }
  pen.drawImage(picture, left, top, width, height);
  pen.restore();
}

function drawFace(pen, face, box, spots, chosen) {
  const colour = COLOURS[face.explanation?.status ?? "none"], reach = Math.max(8, box.w / 5);
  pen.strokeStyle = colour;
  pen.lineWidth = chosen ? 3 : 1.5;
  pen.lineJoin = pen.lineCap = "round";
  pen.beginPath();
  for (const [cx, dx] of [[box.x, 1], [box.x + box.w, -1]]) {
    for (const [cy, dy] of [[box.y, 1], [box.y + box.h, -1]]) {
      pen.moveTo(cx + dx * reach, cy);
      pen.lineTo(cx, cy);
      pen.lineTo(cx, cy + dy * reach);
    }
  }
  pen.stroke();
  if (chosen) {
    pen.fillStyle = "rgb(255 255 255 / 0.75)";
    for (const spot of spots) dot(pen, spot, 1.2);
  }
  const text = face.emotion ? `${face.track}  ${face.emotion}  ${Math.round(face.confidence * 100)} %` : `${face.track}  not clear enough`;
  label(pen, text, Math.max(4, box.x), Math.max(28, box.y - 10), colour, "#14201b", "600 13px");
}

/** The chosen face's claims beside it, each tied by a line to where it shows. */
function drawClaims(pen, face, box, spots, cues, width, height) {
  const claims = face.explanation.claims.filter((claim) => cues[claim.cue]);
  const marked = claims.map((claim) => ({ claim, at: cues[claim.cue].points.map((i) => spots[i]) }));
  pen.fillStyle = COLOURS.verified;
  for (const { at } of marked) for (const spot of at) dot(pen, spot, 3);
  const right = box.x + box.w + 190 < width, edge = right ? box.x + box.w + 26 : box.x - 26;
  if (width < 520 || (!right && box.x < 190)) return; // no room: the panel says the same
  const tied = marked.map(({ claim, at }) => ({ claim, at, end: at.reduce((a, b) => (right === b.x > a.x ? b : a)) }));
  tied.sort((a, b) => a.end.y - b.end.y);
  const step = 32, first = Math.min(height - step * tied.length, Math.max(20, middle(tied.map((t) => t.end.y)) - (step * (tied.length - 1)) / 2));
  tied.forEach(({ claim, end }, i) => {
    const y = first + i * step;
    pen.strokeStyle = COLOURS.verified;
    pen.lineWidth = 1.25;
    pen.beginPath();
    pen.moveTo(end.x, end.y);
    pen.lineTo(right ? edge - 12 : edge + 12, y);
    pen.lineTo(edge, y);
    pen.stroke();
    const text = `${plain(claim.cue)} ${arrow(claim, face.explanation.statements)}`;
    pen.font = "13px sans-serif";
    label(pen, text, right ? edge : edge - pen.measureText(text).width - 16, y + 9, DARK, "#eafff3", "13px");
  });
}

function label(pen, text, x, base, back, ink, font) {
  pen.font = `${font} Inter, "Segoe UI", Roboto, "Liberation Sans", sans-serif`;
  pen.fillStyle = back;
  pen.beginPath();
  pen.roundRect(x, base - 20, pen.measureText(text).width + 16, 24, 6);
  pen.fill();
  pen.fillStyle = ink;
  pen.fillText(text, x + 8, base - 3.5);
}

function dot(pen, spot, radius) {
  pen.beginPath();
  pen.arc(spot.x, spot.y, radius, 0, 7);
  pen.fill();
}

const middle = (values) => values.reduce((a, b) => a + b, 0) / values.length;
