// The chosen face in words and numbers.

import { arrow, plain } from "./stage.js";

const STATUS = {
  verified: ["Explanation verified", ""],
  rejected: ["Explanation rejected", "None that was written passed the check, so none is shown."],
  abstained: ["Too unsure to explain", "The label itself is a guess; no explanation is shown."],
  none: ["No explanation", "None was due for this picture."],
};
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

  show(face) {
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
    this.explain(face?.explanation ?? null);
  }

  explain(said) {
    const status = said?.status ?? "none", [title, aside] = STATUS[status];
    byId("verdict").dataset.status = status;
    set(byId("status"), title);
    set(byId("text"), said?.text || aside);
    byId("text").classList.toggle("aside", !said?.text);
    const claims = said?.text ? said.claims : [];
    byId("claims-part").hidden = !claims.length;
    const list = byId("claims"), key = JSON.stringify(claims);
    if (list.dataset.key === key) return;
    list.dataset.key = key;
    list.replaceChildren(...claims.map((claim) => {
      const sign = claim.measured < 0 ? "−" : "+", held = claim.supported;
      const value = make("span", "value", `${sign}${Math.abs(claim.measured).toFixed(1)} `, [
        Object.assign(make("span", "", held ? "✓" : "–"), { ariaHidden: "true" }),
        make("span", "unseen", held ? "supported" : "not supported"),
      ]);
      value.dataset.held = held ? "yes" : "no";
      const name = make("span", "", `${plain(claim.cue)} ${arrow(claim.direction)}`);
      name.title = this.cues[claim.cue]?.formula ?? "";
      return make("li", "", "", [name, scale(claim), value]);
    }));
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

/** A claim on a scale from −4 to 4 deviations: zero, the tick it must pass, and what was measured. */
function scale(claim) {
  const make = (tag, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };
  const x = (value) => 8 + ((Math.max(-4, Math.min(4, value)) + 4) / 8) * 144;
  const drawing = make("svg", { class: "scale", viewBox: "0 0 160 16", "aria-hidden": "true" });
  const ticks = claim.direction ? [claim.direction] : [-1, 1];
  drawing.append(
    make("line", { x1: 8, x2: 152, y1: 8, y2: 8, stroke: "var(--line)", "stroke-width": 2, "stroke-linecap": "round" }),
    make("line", { x1: x(0), x2: x(0), y1: 4, y2: 12, stroke: "var(--quiet)", "stroke-width": 1 }),
    ...ticks.map((at) => make("line", { x1: x(at), x2: x(at), y1: 4, y2: 12, stroke: "var(--accent)", "stroke-width": 2 })),
    make("line", { x1: x(0), x2: x(claim.measured), y1: 8, y2: 8, stroke: "var(--accent)", "stroke-width": 2 }),
    make("circle", { cx: x(claim.measured), cy: 8, r: 4.5, fill: claim.supported ? "var(--verified)" : "var(--quiet)" }),
  );
  return drawing;
}
