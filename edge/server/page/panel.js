// The chosen face in words and numbers.

import { plain } from "./stage.js";

const STATUS = {
  verified: ["Explanation verified", ""],
  rejected: ["Explanation rejected", "None that was written passed the check, so none is shown."],
  abstained: ["Too unsure to explain", "The label itself is a guess; no explanation is shown."],
  none: ["No explanation", "None was due for this picture."],
};
/** What the scale of a kind runs from and to; cues have their own. */
const SCALES = { pose: [-60, 60], covered: [0, 1], certainty: [0, 1], runner_up: [0, 1], conclusion: [0, 1] };
const STAGES = { face: "find", encode: "read", explain: "explain", verify: "check" };
const byId = (id) => document.getElementById(id);

/** An element with a class, text and children. */
function make(tag, className = "", text = "", children = []) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  element.append(...children);
  return element;
}

function set(element, text) {
  if (element.textContent !== text) element.textContent = text; // untouched text is not read out again
}

function percent(share) {
  return `${Math.round(share * 100)} %`;
}

export class Panel {
  constructor(about) {
    this.cues = about.cues;
    this.bars = about.labels.map((name, i) => {
      const fill = make("span", "fill");
      fill.style.backgroundColor = `var(--c${i % 11})`;
      const value = make("span", "value", "0 %");
      const rail = make("span", "rail", "", [fill]);
      rail.setAttribute("aria-hidden", "true");
      const item = make("li", "", "", [make("span", "", name), rail, value]);
      byId("bars").append(item);
      return { name, item, fill, value };
    });
    this.units = Object.entries(about.units ?? {}).map(([name, meaning]) => {
      const fill = make("span", "fill"), value = make("span", "value"), rail = make("span", "rail", "", [fill]);
      fill.style.backgroundColor = "var(--accent)";
      rail.setAttribute("aria-hidden", "true");
      const item = make("li", "", "", [make("span", "", `${name} ${meaning}`), rail, value]);
      byId("units").append(item);
      return { name, item, fill, value };
    });
    byId("units-part").hidden = !this.units.length;
    this.stages = Object.entries(STAGES).map(([name, word], i) => {
      const part = make("span"), key = make("i"), value = make("span");
      part.style.backgroundColor = key.style.backgroundColor = `var(--c${[3, 8, 6, 5][i]})`;
      byId("stages").append(part);
      byId("stage-list").append(make("li", "", "", [key, value]));
      return { name, word, part, value };
    });
  }

  /** Label → colour, as the theme has it now. */
  colours() {
    return Object.fromEntries(this.bars.map(({ name, fill }) => [name, getComputedStyle(fill).backgroundColor]));
  }

  /** Offer the faces of a reading; `choose(track)` is called when the user takes one. */
  offer(faces, chosen, choose) {
    const group = byId("faces"), tracks = faces.map((face) => face.track).sort((a, b) => a - b).join();
    group.hidden = faces.length < 2;
    if (group.dataset.tracks !== tracks) {
      group.dataset.tracks = tracks;
      const held = group.contains(document.activeElement);
      group.replaceChildren(group.firstElementChild, ...tracks.split(",").filter(Boolean).map((track) => {
        const input = Object.assign(make("input"), { type: "radio", name: "face", value: track });
        input.onchange = () => choose(Number(track));
        return make("label", "", "", [input, make("span", "", `Face ${track}`)]);
      }));
      if (held) group.querySelector(`input[value="${chosen}"]`)?.focus();
    }
    for (const input of group.querySelectorAll("input")) input.checked = Number(input.value) === chosen;
  }

  /** Show a face; `words` are its statements in plain words, each with its measure. */
  show(face, words) {
    byId("emotion").classList.toggle("empty", !face?.emotion);
    set(byId("emotion"), face ? face.emotion || "Not clear enough" : "No face in view");
    set(byId("confidence"), face?.emotion ? `${Math.round(face.confidence * 100)} %` : (face?.unclear ?? []).join(", "));
    for (const { name, item, fill, value } of this.bars) {
      const probability = face?.probabilities[name] ?? 0;
      item.classList.toggle("top", name === face?.emotion);
      fill.style.transform = `scaleX(${probability})`;
      set(value, `${Math.round(probability * 100)} %`);
    }
    const hidden = face?.hidden ?? [];
    byId("hidden-part").hidden = !hidden.length;
    set(byId("hidden"), hidden.map(plain).join(", "));
    for (const { name, item, fill, value } of this.units) {
      const unit = face?.action_units[name];
      item.hidden = !unit;
      fill.style.transform = `scaleX(${unit?.intensity ?? 0})`;
      const sides = unit && unit.left !== null ? ` (left ${percent(unit.left)}, right ${percent(unit.right)})` : "";
      set(value, unit ? percent(unit.intensity) : "");
      item.title = unit ? `${percent(unit.intensity)}${sides}` : "";
    }
    const signed = (number) => `${number < 0 ? "−" : "+"}${Math.abs(number).toFixed(2)}`;
    set(byId("affect"), typeof face?.valence === "number" ? `Valence ${signed(face.valence)}, arousal ${signed(face.arousal)}` : "");
    this.explain(face?.explanation ?? null, words);
  }

  explain(said, words) {
    const status = said?.status ?? "none", [title, aside] = STATUS[status];
    byId("verdict").dataset.status = status;
    set(byId("status"), title);
    set(byId("text"), said?.text || aside);
    byId("text").classList.toggle("aside", !said?.text);
    const statements = said?.text ? said.statements : [];
    byId("statements-part").hidden = !statements.length;
    const list = byId("statements"), key = JSON.stringify([statements, words]);
    if (list.dataset.key === key) return;
    list.dataset.key = key;
    list.replaceChildren(...statements.map((statement, i) => {
      const [says, measured] = words[i];
      const value = make("span", "value", `${measured.replace("-", "−")} `, [
        Object.assign(make("span", "", statement.holds ? "✓" : "–"), { ariaHidden: "true" }),
        make("span", "unseen", statement.holds ? "holds" : "does not hold"),
      ]);
      value.dataset.held = statement.holds ? "yes" : "no";
      const name = make("span", "", says);
      name.title = this.cues[statement.subject]?.formula ?? "";
      return make("li", "", "", [name, scale(statement), value]);
    }));
  }

  /** Show what became of the answer without each statement; `words` are the statements in plain words. */
  doubt(found, words) {
    const key = JSON.stringify([found, words]), list = byId("doubted");
    byId("doubted-part").hidden = !found;
    if (!found || list.dataset.key === key) return;
    list.dataset.key = key;
    const told = found.undone.map((one, i) => ({ ...one, says: words[i] })), moved = told.filter((one) => !one.reason);
    const kept = told.filter((one) => one.reason && one.kind !== "conclusion");
    list.replaceChildren(...moved.map((one) => {
      const change = make("strong", "", `${found.answer} ${found.probability.toFixed(2)} → ${one.probability.toFixed(2)}`);
      const now = one.emotion === found.answer ? "" : `, now ${one.emotion}`;
      const followed = make("span", "quiet", one.counts
        ? `The reading of it followed: ${percent(one.followed)} of the way.`
        : `The reading of it followed only ${percent(Math.max(0, one.followed))} of the way: no proof.`);
      const item = make("li", "", `without ${one.words}: `, [change, now, followed]);
      item.dataset.proof = one.counts ? "yes" : "no";
      return item;
    }));
    if (!moved.length) list.replaceChildren(make("li", "quiet", "Nothing that it says can be taken back in this picture."));
    byId("kept-part").hidden = !kept.length;
    byId("kept").replaceChildren(...kept.map((one) => make("li", "quiet", `${one.says}: ${one.reason}`)));
    set(byId("control"), found.control === null ? "" : `Moved there and back, nothing taken back: ${found.control.toFixed(2)}.`);
  }

  latency(spent, dropped, rate) {
    const total = spent.total ?? 0;
    set(byId("total"), total ? `${total.toFixed(total < 10 ? 1 : 0)} ms` : "–");
    const left = dropped ? `, ${dropped} left out` : "";
    set(byId("rate"), rate ? `a picture, ${rate.toFixed(rate < 10 ? 1 : 0)} pictures a second${left}` : "");
    for (const { name, word, part, value } of this.stages) {
      const ms = spent[name] ?? 0;
      part.style.flexGrow = String(ms);
      set(value, `${word} ${ms.toFixed(1)}`);
    }
  }
}

/** A statement on the scale of its kind: zero, the stretch in which it holds, and what was measured. */
function scale({ kind, measured, within, holds }) {
  const make = (tag, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };
  const [low, high] = SCALES[kind] ?? [-8, 8]; // cues: deviations from neutral
  const x = (value) => 8 + ((Math.max(low, Math.min(high, value)) - low) / (high - low)) * 144;
  const drawing = make("svg", { class: "scale", viewBox: "0 0 160 16", "aria-hidden": "true" });
  drawing.append(make("line", { x1: 8, x2: 152, y1: 8, y2: 8, stroke: "var(--line)", "stroke-width": 2, "stroke-linecap": "round" }));
  if (within.length) {
    const [from, to] = within.map(x);
    drawing.append(make("rect", { x: from, y: 3, width: Math.max(2, to - from), height: 10, rx: 2, fill: "var(--accent)", opacity: 0.25 }));
  }
  drawing.append(
    make("line", { x1: x(0), x2: x(0), y1: 4, y2: 12, stroke: "var(--quiet)", "stroke-width": 1 }),
    make("line", { x1: x(0), x2: x(measured), y1: 8, y2: 8, stroke: "var(--accent)", "stroke-width": 2 }),
    make("circle", { cx: x(measured), cy: 8, r: 4.5, fill: holds ? "var(--verified)" : "var(--quiet)" }),
  );
  return drawing;
}
