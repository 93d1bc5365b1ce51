// An interaction as a card: its turns as a chat of question and answer.

const SIGNS = { right: "✓", wrong: "✗", none: "–" };

function outcome(flag) {
  return flag === 1 ? "right" : flag === 0 ? "wrong" : "none";
}

function textLanguage(text) {
  return /\p{Script=Han}/u.test(text) ? "zh-CN" : null;
}

// `address` makes a link to a turn, `onlyFitting` leaves out turns that do not fit the filters.
function cardElement(interaction, { address, onlyFitting }) {
  const { turns, number, dbName } = interaction;
  const shown = onlyFitting ? turns.filter((turn) => turn.fits) : turns;
  const right = turns.filter((turn) => turn.ex === 1).length;
  const dots = turns.map((turn) => element("span", { class: `dot ${outcome(turn.ex)}` }, SIGNS[outcome(turn.ex)]));
  const head = element(
    "header",
    null,
    element("h3", null, element("a", { href: address(turns[0]), title: t("card.link") }, t("card.number", { n: count(number) }))),
    element("span", { class: "db", lang: textLanguage(dbName) }, visible(dbName)),
    element("span", { class: "dots", "aria-hidden": "true" }, ...dots),
    element("span", { class: "right-of" }, t("card.right_of", { right: count(right), all: count(turns.length) })),
  );
  const list = element("ol", { class: "turns" }, ...shown.map((turn) => (turn.fits ? turnElement : foldedTurn)(turn, address)));
  const hidden = turns.length - shown.length;
  return element(
    "article",
    { class: `card ${right === turns.length ? "all-right" : ""}` },
    head,
    list,
    hidden ? element("p", { class: "hidden-turns" }, t("card.hidden", { n: count(hidden) })) : null,
  );
}

// The text format of the field has no questions.
function questionElement(tag, name, turn) {
  const text = whole(turn.question);
  if (!text.trim()) return element(tag, { class: `${name || ""} no-question` }, t("turn.no_question"));
  return element(tag, { class: name, lang: textLanguage(text) }, visible(text), leftOut(turn.question));
}

// A turn that does not fit the filters stands in one line, between those that do.
function foldedTurn(turn, address) {
  const details = element(
    "details",
    null,
    element(
      "summary",
      null,
      element("span", { class: "turn-number" }, t("turn.number", { n: turn.turn + 1 })),
      questionElement("span", "folded-question", turn),
      verdictElement(turn),
    ),
  );
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(answerElement(turn));
  });
  const item = element("li", { class: "turn folded" }, details);
  item.turn = turn;
  return item;
}

function answerElement(turn) {
  const answer = element("div", { class: `answer ${outcome(turn.ex)}` }, verdictLine(turn), ...sqlParts(turn));
  if (turn.message) {
    answer.append(element("p", { class: "message" }, element("code", null, visible(whole(turn.message))), leftOut(turn.message) || ""));
  }
  answer.append(detailsElement(turn));
  return answer;
}

function turnElement(turn, address) {
  const item = element(
    "li",
    { class: "turn" },
    element(
      "div",
      { class: "question" },
      element("a", { class: "turn-number", href: address(turn), title: t("card.turn_link") }, t("turn.number", { n: turn.turn + 1 })),
      questionElement("p", null, turn),
    ),
    answerElement(turn),
  );
  item.turn = turn;
  return item;
}

function verdictElement(turn) {
  const mark = outcome(turn.ex);
  const sign = element("span", { "aria-hidden": "true" }, `${SIGNS[mark]} `);
  return element("span", { class: `verdict ${mark}`, title: t(`verdict.${turn.verdict}.what`) }, sign, t(`verdict.${turn.verdict}`));
}

function verdictLine(turn) {
  const line = element("p", { class: "verdict-line" }, verdictElement(turn));
  if (turn.ex !== 1) line.append(element("span", { class: "what" }, t(`verdict.${turn.verdict}.what`)));
  for (const warning of turn.warnings) {
    line.append(element("span", { class: "warning", title: t(`warning.${warning}.what`) }, t(`warning.${warning}`)));
  }
  line.append(element("span", { class: "level" }, t(`hardness.${turn.hardness}`)));
  return line;
}

function sqlParts(turn) {
  const gold = sqlTokens(whole(turn.gold));
  if (turn.predicted === null || whole(turn.predicted).trim() === "") {
    return [
      sqlBlock("turn.predicted_sql", element("p", { class: "no-sql" }, t("turn.no_sql"))),
      sqlBlock("turn.gold_sql", sqlElement(gold, "gone"), turn.gold),
    ];
  }
  const predicted = sqlTokens(whole(turn.predicted));
  const differs = compareTokens(gold, predicted);
  if (!differs && !Array.isArray(turn.gold)) return [sqlBlock("turn.same_sql", sqlElement(predicted, "new"), turn.predicted)];
  return [
    sqlBlock("turn.predicted_sql", sqlElement(predicted, "new"), turn.predicted),
    sqlBlock("turn.gold_sql", sqlElement(gold, "gone"), turn.gold),
  ];
}

function sqlBlock(label, content, text) {
  return element("div", { class: "sql-block" }, element("span", { class: "label" }, t(label)), element("pre", null, content, leftOut(text)));
}

// Results and figures: open at once where the results differ, made when opened elsewhere.
function detailsElement(turn) {
  const details = element("details", { class: "details" }, element("summary", null, t("turn.details")));
  const fill = () => details.childElementCount > 1 || details.append(...resultParts(turn), figureList(turn));
  details.addEventListener("toggle", () => details.open && fill());
  if (turn.ex !== 1) {
    fill();
    details.open = true;
  }
  return details;
}

function resultParts(turn) {
  if (turn.predictedResult === 1) return [element("div", { class: "results" }, resultTable("turn.both_results", turn.goldResult))];
  return [
    element("div", { class: "results" }, resultTable("turn.predicted_result", turn.predictedResult), resultTable("turn.gold_result", turn.goldResult)),
  ];
}

function resultTable(label, result) {
  if (!result) {
    return element("div", { class: "result" }, element("p", { class: "label" }, t(label)), element("p", { class: "no-result" }, t("turn.no_result")));
  }
  const [columns, rows, numRows, numColumns] = result;
  let size = numRows === 1 ? t("turn.row") : t("turn.rows", { n: count(numRows) });
  if (rows.length < numRows) size = t("turn.some_rows", { shown: count(rows.length), n: count(numRows) });
  const more = numColumns > columns.length;
  const head = element("tr", null, ...columns.map((name) => element("th", { scope: "col" }, visible(name))), more ? element("th", null, "…") : null);
  const body = rows.map((row) =>
    element("tr", null, ...row.map((value) => (value === null ? element("td", { class: "null" }, "NULL") : element("td", null, visible(value)))), more ? element("td", null, "…") : null),
  );
  const table = element("table", null, element("thead", null, head), element("tbody", null, ...body));
  const area = element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": t(label) }, table);
  return element("div", { class: "result" }, element("p", { class: "label" }, t(label), " ", element("span", { class: "rows" }, size)), area);
}

function figureList(turn) {
  const flags = [
    ["execution_accuracy", turn.ex],
    ["execution_accuracy_keep_distinct", turn.keepDistinct],
    ["execution_accuracy_strict", turn.strict],
    ["execution_accuracy_bird", turn.bird],
    ["exact_set_match", turn.em],
    ["exact_set_match_own", turn.emOwn],
    ["valid_sql_rate", turn.validSql],
  ].map(([figure, flag]) => {
    const mark = outcome(flag);
    return element(
      "li",
      { class: mark, title: t(`figure.${figure}.what`) },
      element("span", { role: "img", "aria-label": t(`mark.${mark}`) }, SIGNS[mark]),
      ` ${t(`figure.${figure}.short`)}`,
    );
  });
  const overlaps = [["BLEU-4", turn.bleu4], ["ROUGE-L", turn.rougeL]]
    .filter(([, value]) => value !== null)
    .map(([name, value]) => element("li", null, `${name} ${(value * 100).toFixed(1)}`));
  return element("ul", { class: "turn-figures" }, ...flags, ...overlaps, ...measuredItems(turn.measurement), element("li", { class: "id" }, `${t("turn.id")} `, element("code", null, visible(turn.name))));
}

function measuredItems(measurement) {
  if (!measurement) return [];
  const { prompt, cached, completion, latency, finish, attempt } = measurement;
  const texts = [
    t("turn.prompt_tokens", { n: count(prompt), cached: count(cached) }),
    t("turn.completion_tokens", { n: count(completion) }),
    latency === null ? null : t("turn.latency", { s: latency.toFixed(2) }),
    finish === "length" ? t("turn.was_cut") : null,
    attempt > 1 ? t("turn.attempt", { n: attempt }) : null,
  ];
  return texts.filter((text) => text !== null).map((text) => element("li", { class: "measured" }, text));
}
