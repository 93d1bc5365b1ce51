// The page's words in two languages, and the switches for language and theme.

const root = document.documentElement;
const WORDS = JSON.parse(byId("data-words").textContent);
const LANGUAGES = ["zh", "en"];
const TAGS = { zh: "zh-CN", en: "en" };
const listeners = [];
let language = root.dataset.language;
let numbers = new Intl.NumberFormat(TAGS[language]);

function t(key, values) {
  const word = WORDS[key][LANGUAGES.indexOf(language)];
  return values ? word.replace(/\{(\w+)\}/g, (hole, name) => values[name]) : word;
}

function count(number) {
  return numbers.format(number);
}

function percent(share) {
  return `${(share * 100).toFixed(1)}%`;
}

function onLanguage(listener) {
  listeners.push(listener);
}

function keep() {
  try {
    localStorage.setItem("t2s-page", JSON.stringify({ theme: root.dataset.theme, language }));
  } catch {
    // No storage for files in this browser: the choice holds for this visit.
  }
}

function speak() {
  root.lang = TAGS[language];
  root.dataset.language = language;
  numbers = new Intl.NumberFormat(TAGS[language]);
  for (const node of document.querySelectorAll("[data-w]")) {
    node.textContent = t(node.dataset.w, node.dataset.values ? JSON.parse(node.dataset.values) : null);
  }
  for (const node of document.querySelectorAll("[data-wa]")) {
    for (const pair of node.dataset.wa.split(" ")) {
      const [attribute, key] = pair.split(":");
      node.setAttribute(attribute, t(key));
    }
  }
  byId("language").textContent = WORDS["language.name"][language === "zh" ? 1 : 0];
  byId("language").lang = TAGS[language === "zh" ? "en" : "zh"];
  showTheme();
  for (const listener of listeners) listener();
}

function showTheme() {
  byId("theme").firstElementChild.textContent = t(root.dataset.theme === "dark" ? "theme.light" : "theme.dark");
}

function startSwitches() {
  byId("language").addEventListener("click", () => {
    language = language === "zh" ? "en" : "zh";
    keep();
    speak();
  });
  byId("theme").addEventListener("click", () => {
    root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
    keep();
    showTheme();
  });
}
