// The last minute of each face: its probabilities as stacked areas, the verdicts as a strip below.

const SPAN_MS = 60_000, STEP_MS = 200, KEPT = 16;

export class Timeline {
  constructor(canvas, caption) {
    this.canvas = canvas;
    this.caption = caption;
    this.tracks = new Map();
  }

  clear() {
    this.tracks.clear();
  }

  /** Note a reading, at most every 200 ms. */
  note(reading, now) {
    for (const face of reading.faces) {
      const past = this.tracks.get(face.track) ?? [];
      if (past.length && now - past.at(-1).at < STEP_MS) continue;
      past.push({ at: now, probabilities: face.probabilities, emotion: face.emotion, status: face.explanation?.status ?? "none" });
      while (past[0].at < now - SPAN_MS - STEP_MS) past.shift();
      this.tracks.delete(face.track); // the newest last
      this.tracks.set(face.track, past);
    }
    while (this.tracks.size > KEPT) this.tracks.delete(this.tracks.keys().next().value);
  }

  /** Draw one face's minute; `colours` maps labels to CSS colours, `marks` verdicts, `ground` is the empty part's. */
  draw(track, now, colours, marks, ground) {
    const past = this.tracks.get(track) ?? [], canvas = this.canvas, dense = Math.min(2, devicePixelRatio || 1);
    const width = canvas.clientWidth, height = canvas.clientHeight, floor = height - 12;
    canvas.width = Math.round(width * dense);
    canvas.height = Math.round(height * dense);
    const pen = canvas.getContext("2d");
    pen.scale(dense, dense);
    const x = (at) => width * (1 - (now - at) / SPAN_MS);
    pen.fillStyle = ground;
    pen.beginPath();
    pen.roundRect(0, 0, width, floor, 6);
    pen.roundRect(0, height - 6, width, 6, 3);
    pen.fill();
    pen.clip(); // what follows keeps the rounded corners
    for (const run of runs(past)) {
      const base = run.map(() => 0);
      for (const [name, colour] of Object.entries(colours)) {
        pen.beginPath();
        run.forEach((moment, i) => pen.lineTo(x(moment.at), floor * (1 - base[i])));
        for (let i = run.length - 1; i >= 0; i--) {
          const before = base[i];
          base[i] += run[i].probabilities[name] ?? 0;
          pen.lineTo(x(run[i].at), floor * (1 - base[i]));
          if (i === 0) pen.lineTo(x(run[0].at), floor * (1 - before));
        }
        pen.fillStyle = colour;
        pen.fill();
      }
      for (let i = 1; i < run.length; i++) {
        pen.fillStyle = marks[run[i].status];
        pen.fillRect(x(run[i - 1].at), height - 6, x(run[i].at) - x(run[i - 1].at) + 0.5, 6);
      }
    }
    const said = past.length ? `Face ${track}, last minute: mostly ${mostly(past)}` : "No readings of a face in the last minute";
    if (this.said !== said) {
      this.said = said;
      canvas.setAttribute("aria-label", said);
      this.caption.textContent = past.length ? `face ${track}` : "";
    }
  }
}

/** Parts of a history without a gap of more than two seconds. */
function runs(past) {
  const parts = [];
  for (const moment of past) {
    if (parts.length && moment.at - parts.at(-1).at(-1).at < 2000) parts.at(-1).push(moment);
    else parts.push([{ ...moment, at: moment.at - STEP_MS }, moment]); // a moment by itself is as wide as its step
  }
  return parts;
}

function mostly(past) {
  const counts = {};
  for (const { emotion } of past) counts[emotion || "not clear enough"] = (counts[emotion || "not clear enough"] ?? 0) + 1;
  return Object.entries(counts).sort((a, b) => b[1] - a[1])[0][0];
}
