// The page: takes frames from a source, keeps the chosen face, and has everything drawn.

import { Panel } from "./panel.js";
import { drawStage } from "./stage.js";
import { follow, ownCamera } from "./sources.js";
import { onTheme } from "./theme.js";
import { Timeline } from "./timeline.js";

const byId = (id) => document.getElementById(id);
const about = await (await fetch("about")).json();
const panel = new Panel(about);
const timeline = new Timeline(byId("timeline"), byId("timeline-face"));
let frame = null, chosen = null, boxes = [], stop = () => {}, paused = false, drawn = true, arrivals = [];

function show(next) {
  frame?.picture?.close?.();
  frame = next;
  const faces = frame.reading.faces, now = performance.now();
  if (!faces.some((face) => face.track === chosen)) chosen = faces[0]?.track ?? null;
  arrivals = [...arrivals.filter((at) => at > now - 2000), now];
  timeline.note(frame.reading, now);
  byId("ask").hidden = !frame.ask || chosen === null;
  recorded(frame.recorded ?? "");
  panel.latency(frame.reading.latency_ms, frame.status?.dropped ?? 0, arrivals.length > 2 ? ((arrivals.length - 1) * 1000) / (now - arrivals[0]) : 0);
  draw();
}

/** Show the timeline of a recording that has ended; `says` tells it in words, and is empty while there is none. */
function recorded(says) {
  const picture = byId("recording");
  if (says && picture.alt !== says) picture.src = `recording/timeline.svg?${performance.now()}`; // not one that was shown before
  picture.alt = says;
  byId("recorded").hidden = !says;
}

function draw() {
  if (!drawn) return;
  drawn = false;
  requestAnimationFrame(() => {
    drawn = true;
    if (!frame) return;
    const faces = frame.reading.faces, face = faces.find(({ track }) => track === chosen) ?? null;
    boxes = drawStage(byId("picture"), frame, chosen, about.cues);
    panel.offer(faces, chosen, choose);
    byId("doubt").hidden = !about.counterfactual || !frame.ask || !face?.explanation?.text;
    panel.show(face, face ? frame.said[faces.indexOf(face)] : []);
    panel.doubt(face?.counterfactual ?? null, face ? frame.doubted[faces.indexOf(face)] : []);
    timeline.draw(chosen, performance.now(), panel.colours(), marks(), getComputedStyle(document.querySelector(".rail")).backgroundColor);
    speak(face);
  });
}

function choose(track) {
  chosen = track;
  draw();
}

function marks() {
  const legend = Object.fromEntries([...document.querySelectorAll(".verdicts [data-status]")].map((e) => [e.dataset.status, getComputedStyle(e).color]));
  return { ...legend, none: "transparent" };
}

/** Tell screen readers what has held for 1.5 s, and at most every 8 s. */
const spoken = { text: "", since: 0, said: "", at: -Infinity };
function speak(face) {
  const status = { verified: "explanation verified", rejected: "no explanation passed", abstained: "unsure" }[face?.explanation?.status];
  const text = face ? [`Face ${face.track}: ${face.emotion || "not clear enough"}`, status].filter(Boolean).join(", ") : "No face in view";
  const now = performance.now();
  if (text !== spoken.text) Object.assign(spoken, { text, since: now });
  if (text === spoken.said || now - spoken.since < 1500 || now - spoken.at < 8000) return;
  Object.assign(spoken, { said: text, at: now });
  byId("spoken").textContent = text;
  byId("picture").setAttribute("aria-label", `Live picture. ${text}`);
}

function tell(text) {
  if (byId("state").textContent !== text) byId("state").textContent = text;
}

function start() {
  stop();
  const source = document.querySelector("input[name=source]:checked").value;
  arrivals = [];
  const off = paused && source === "browser"; // a paused page does not stop the server's own source
  byId("notice").dataset.on = off ? "no" : "yes";
  byId("notice").lastElementChild.textContent = `Expression analysis is ${off ? "off" : "on"}`;
  byId("pause").textContent = paused ? "Go on" : "Pause";
  stop = paused ? () => {} : (source === "device" ? follow : ownCamera)(show, tell);
  if (paused) tell("Paused.");
}

byId("pause").onclick = () => {
  paused = !paused;
  start();
};
for (const input of document.querySelectorAll("input[name=source]")) {
  input.disabled = !(input.value === "device" ? about.source : about.browser);
  input.checked = input.value === (about.source ? "device" : "browser");
  input.onchange = () => {
    chosen = null;
    paused = false;
    timeline.clear();
    start();
  };
}
byId("ask").onclick = () => frame?.ask?.("explain", chosen);
byId("doubt").onclick = () => frame?.ask?.("counterfactual", chosen);
byId("picture").onclick = (event) => {
  const { offsetX: x, offsetY: y } = event;
  const hit = boxes.find((box) => x >= box.x && x <= box.x + box.w && y >= box.y && y <= box.y + box.h);
  if (hit) choose(hit.track);
};

onTheme(draw);
new ResizeObserver(draw).observe(byId("picture"));
byId("server").textContent = location.host;
start();
