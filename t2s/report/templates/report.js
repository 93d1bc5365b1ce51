// The report's page: puts the parts together and follows the address.

const FIRST_TURNS = 16; // drawn at once: more than any screen shows, and a filter stays far below 100 ms
const MORE_TURNS = 40;

let run = null;
let families = null;
let filters = emptyFilters();
let found = { interactions: [], numTurns: 0 };
let shown = { start: 0, end: 0 }; // of found.interactions

function apply(next, { scroll = false, still = false } = {}) {
  filters = next;
  const form = byId("filters");
  showFilters(form, filters);
  const condition = conditionOf(filters, families);
  found = filtered(run, condition);
  const at = filters.at ? found.interactions.findIndex((i) => i.turns.some((turn) => turn.name === filters.at)) : -1;
  shown = { start: Math.max(0, at), end: Math.max(0, at) };
  byId("cards").replaceChildren();
  showMore(FIRST_TURNS);
  showCounts();
  if (still) return;
  if (at >= 0) goToTurn(filters.at);
  else if (scroll) goTo("interactions");
}

function cardOptions() {
  const plain = addressOf({ ...filters, at: "" }).slice(1);
  const address = (turn) => `#${plain}${plain ? "&" : ""}${new URLSearchParams({ at: turn.name })}`;
  return { address, onlyFitting: filters.view === "turns" };
}

function showMore(numTurns) {
  const options = cardOptions();
  const cards = [];
  for (let turns = 0; turns < numTurns && shown.end < found.interactions.length; shown.end++) {
    const interaction = found.interactions[shown.end];
    turns += interaction.turns.length;
    cards.push(cardElement(interaction, options));
  }
  byId("cards").append(...cards);
  showButtons();
}

function showEarlier() {
  const options = cardOptions();
  const cards = [];
  for (let turns = 0; turns < MORE_TURNS && shown.start > 0; ) {
    const interaction = found.interactions[--shown.start];
    turns += interaction.turns.length;
    cards.unshift(cardElement(interaction, options));
  }
  byId("cards").prepend(...cards);
  showButtons();
}

function showButtons() {
  byId("more").hidden = shown.end >= found.interactions.length;
  byId("earlier").hidden = shown.start === 0;
  byId("earlier").textContent = t("earlier", { n: count(shown.start) });
}

function showCounts() {
  const values = {
    turns: count(found.numTurns),
    all_turns: count(run.turns.length),
    interactions: count(found.interactions.length),
    all_interactions: count(run.interactions.length),
  };
  byId("count").textContent = found.numTurns ? t("count", values) : t(run.turns.length ? "count.none" : "interactions.none");
}

function goTo(id) {
  const section = byId(id);
  const heading = section.querySelector("h1, h2") || section;
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
  section.scrollIntoView({ behavior: calm() ? "auto" : "smooth" });
}

function goToTurn(name) {
  const item = [...document.querySelectorAll("#cards .turn")].find((node) => node.turn.name === name);
  if (!item) return;
  item.classList.add("target");
  const isFirst = item === item.parentElement.firstElementChild;
  (isFirst ? item.closest(".card") : item).scrollIntoView({ block: "start" });
}

// The address follows the filters without a new entry in the history for each letter typed.
function filtersChanged() {
  const form = byId("filters");
  const next = { ...emptyFilters(), ...Object.fromEntries(FILTERS.map((name) => [name, form.elements[name].value])) };
  const address = addressOf(next);
  history.replaceState(null, "", address === "#" ? location.pathname + location.search : address);
  apply(next);
}

function addressChanged() {
  const next = filtersOfAddress();
  if (next) apply(next, { scroll: location.hash.length > 1 });
}

function sortTable(button) {
  const key = button.dataset.sort;
  const head = button.closest("th");
  const ascending = head.getAttribute("aria-sort") !== "ascending";
  for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  const body = byId("database-table").tBodies[0];
  const value = (row) => (row.dataset[key] === "" ? null : Number(row.dataset[key]));
  const compare = (a, b) => {
    if (key === "name") return a.dataset.name.localeCompare(b.dataset.name, TAGS[language]);
    return (value(a) ?? Infinity) - (value(b) ?? Infinity);
  };
  const rows = [...body.rows].sort(compare);
  body.append(...(ascending ? rows : rows.reverse()));
}

function startFilters() {
  const form = byId("filters");
  fillSelects(form, run, families);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", filtersChanged);
  form.addEventListener("reset", () => setTimeout(filtersChanged));
  byId("more").addEventListener("click", () => showMore(MORE_TURNS));
  byId("earlier").addEventListener("click", showEarlier);
  addEventListener("hashchange", addressChanged);
  new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && showMore(MORE_TURNS), {
    rootMargin: "900px",
  }).observe(byId("more"));
  onLanguage(() => {
    fillSelects(form, run, families);
    apply(filters, { still: true });
  });
}

function start() {
  families = JSON.parse(byId("data-families").textContent);
  run = readTurns(JSON.parse(byId("data-turns").textContent));
  startFilters();
  const first = filtersOfAddress() || emptyFilters();
  apply(first, { scroll: location.hash.includes("=") });
  for (const button of document.querySelectorAll("[data-sort]")) button.addEventListener("click", () => sortTable(button));
  // Once the page is on the screen: the texts to search, so that the first letter typed is as quick as others; charts.
  setTimeout(() => {
    run.turns.forEach(haystack);
    root.dataset.ready = "";
    performance.mark("t2s-ready");
    startCharts(JSON.parse(byId("data-charts").textContent), (filter) => (location.hash = filter));
  });
}

for (const link of document.querySelectorAll("[data-go]")) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    goTo(link.dataset.go);
  });
}
startSwitches();
speak();
document.addEventListener("DOMContentLoaded", start);
