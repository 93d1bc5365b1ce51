// Runs in the head, before anything is painted: the reader's theme and language.
(() => {
  "use strict";
  let kept = {};
  try {
    kept = JSON.parse(localStorage.getItem("t2s-page")) || {};
  } catch {
    // No storage for files in this browser: the page starts as the browser prefers.
  }
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = ["light", "dark"].includes(kept.theme) ? kept.theme : dark ? "dark" : "light";
  const preferred = /^zh\b/i.test(navigator.language) ? "zh" : "en";
  root.dataset.language = ["zh", "en"].includes(kept.language) ? kept.language : preferred;
})();
