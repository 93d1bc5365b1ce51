// The filters: what they hold, the address that carries them, and which turns fit.

const FILTERS = ["q", "show", "verdict", "db", "turn", "hardness", "warning", "view"];

function emptyFilters() {
  return { q: "", show: "", verdict: "", db: "", turn: "", hardness: "", warning: "", view: "", at: "" };
}

// `#show=wrong&db=…` -> filters; null for an address of a section, such as `#turns`.
function filtersOfAddress() {
  const text = location.hash.slice(1);
  if (text && !text.includes("=")) return null;
  const filters = emptyFilters();
  for (const [key, value] of new URLSearchParams(text)) if (key in filters) filters[key] = value;
  return filters;
}

function addressOf(filters) {
  const parts = new URLSearchParams();
  for (const [key, value] of Object.entries(filters)) if (value) parts.set(key, value);
  return `#${parts}`;
}

const SHOWS = {
  wrong: (turn) => turn.ex === 0,
  right: (turn) => turn.ex === 1,
  right_not_em: (turn) => turn.ex === 1 && turn.em === 0,
  em_not_right: (turn) => turn.ex === 0 && turn.em === 1,
};

// Words that must all occur; "quoted words" as they stand.
function searchTerms(text) {
  return (folded(text).match(/"[^"]+"|\S+/g) || []).map((term) => term.replace(/^"(.+)"$/, "$1"));
}

// Every condition that is set, as one function of a turn; null where none is.
function conditionOf(filters, families) {
  const conditions = [];
  if (SHOWS[filters.show]) conditions.push(SHOWS[filters.show]);
  if (filters.verdict.startsWith("family:")) {
    const verdicts = new Set(families[filters.verdict.slice(7)] || []);
    conditions.push((turn) => verdicts.has(turn.verdict));
  } else if (filters.verdict) conditions.push((turn) => turn.verdict === filters.verdict);
  if (filters.db) conditions.push((turn) => turn.dbName === filters.db);
  if (filters.turn) conditions.push((turn) => turn.group === filters.turn);
  if (filters.hardness) conditions.push((turn) => turn.hardness === filters.hardness);
  if (filters.warning === "any") conditions.push((turn) => turn.warnings.length > 0);
  else if (filters.warning) conditions.push((turn) => turn.warnings.includes(filters.warning));
  const terms = searchTerms(filters.q);
  if (terms.length) conditions.push((turn) => terms.every((term) => haystack(turn).includes(term)));
  return conditions.length ? (turn) => conditions.every((condition) => condition(turn)) : null;
}

// {interactions that have a fitting turn, number of fitting turns}; sets `fits` on every turn.
function filtered(run, condition) {
  const interactions = [];
  let numTurns = 0;
  for (const interaction of run.interactions) {
    let found = 0;
    for (const turn of interaction.turns) {
      turn.fits = condition === null || condition(turn);
      if (turn.fits) found++;
    }
    if (found) interactions.push(interaction);
    numTurns += found;
  }
  return { interactions, numTurns };
}

function option(value, label) {
  return element("option", { value }, label);
}

function fillSelects(form, run, families, report) {
  const used = new Set(run.turns.map((turn) => turn.verdict));
  const groups = Object.entries(families).map(([family, verdicts]) => {
    const mine = verdicts.filter((verdict) => used.has(verdict));
    if (!mine.length) return null;
    const name = t(`family.${family}`);
    const options = mine.map((verdict) => option(verdict, t(`verdict.${verdict}`)));
    if (mine.length === 1) return options[0];
    return element("optgroup", { label: name }, option(`family:${family}`, t("filter.all_of", { family: name })), ...options);
  });
  const any = (label) => option("", label || t("filter.any"));
  const present = (values, field) => values.filter((value) => run.turns.some((turn) => turn[field] === value));
  const sorted = [...run.dbs].sort((a, b) => a.localeCompare(b, TAGS[language]));
  const choices = {
    show: [any(t("filter.result.all")), ...Object.keys(SHOWS).map((show) => option(show, t(`filter.result.${show}`)))],
    verdict: [any(), ...groups],
    db: [any(), ...sorted.map((db) => option(db, visible(db)))],
    turn: [any(), ...present(["1", "2", "3", "4", ">4"], "group").map((group) => option(group, t(`turn.${group}`)))],
    hardness: [any(), ...present(run.hardness, "hardness").map((level) => option(level, t(`hardness.${level}`)))],
    warning: [any(), option("any", t("filter.warning.any")), ...run.warnings.map((name) => option(name, t(`warning.${name}`)))],
    view: [any(t("filter.whole")), option("turns", t("filter.turns"))],
  };
  for (const [name, options] of Object.entries(choices)) {
    const select = form.elements[name];
    const chosen = select.value;
    select.replaceChildren(...options.filter((node) => node !== null));
    select.value = chosen;
  }
}

function showFilters(form, filters) {
  for (const name of FILTERS) {
    if (form.elements[name].value !== filters[name]) form.elements[name].value = filters[name];
    form.elements[name].classList.toggle("is-set", Boolean(filters[name]));
  }
}
