// The theme: as the system has it, light or dark, and kept for the next visit. It asks the server for nothing, so that it holds at once.

const themes = ["auto", "light", "dark"];
const button = document.getElementById("theme");

/** @param {() => void} changed  called whenever colours are others, by a click or by the system */
export function onTheme(changed) {
  button.addEventListener("click", changed);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
}

function set(name) {
  document.documentElement.dataset.theme = name;
  button.textContent = `Theme: ${name}`;
  localStorage.setItem("theme", name);
}

button.onclick = () => set(themes[(themes.indexOf(document.documentElement.dataset.theme) + 1) % themes.length]);
set(themes.includes(localStorage.getItem("theme")) ? localStorage.getItem("theme") : "auto");
