// SQL with its words coloured, and with what differs from another SQL marked, token by token.

const KEYWORDS = new Set(
  (
    "all and as asc between by case cast collate cross current_date current_time current_timestamp desc distinct else end " +
    "escape except exists false filter from full glob group having in inner intersect is isnull join left like limit match " +
    "natural not notnull null offset on or order outer over partition recursive regexp right select then true union using " +
    "values when where window with"
  ).split(" "),
);
const TOKENS =
  /(\s+)|(--[^\n]*|\/\*[\s\S]*?(?:\*\/|$))|('(?:[^']|'')*'?)|("(?:[^"]|"")*"?|`[^`]*`?|\[[^\]\n]*\])|(\d[\w.]*)|([\p{L}_$][\p{L}\p{N}_$]*)|(<>|<=|>=|!=|==|\|\||[\s\S])/gu;
const KINDS = ["space", "comment", "text", "name", "number", "word", "sign"];
// New lines before these, where a long SQL is written in one.
const CLAUSES = new Set(["from", "where", "group", "having", "order", "limit", "union", "intersect", "except"]);
const LONG_LINE = 72;
// The table of a comparison: 600 tokens with 600. What is longer is marked as a whole.
const MAX_CELLS = 360000;

// [{kind, text, same}]: `same` is what two tokens are compared by; blanks, comments and a last semicolon have none.
function sqlTokens(sql) {
  const found = [];
  for (const match of sql.matchAll(TOKENS)) {
    const kind = KINDS[match.slice(1).findIndex((group) => group !== undefined)];
    const text = match[0];
    let same = kind === "space" || kind === "comment" ? null : text;
    if (kind === "word") same = text.toLowerCase();
    if (kind === "name") same = text.slice(1, -1).toLowerCase();
    found.push({ kind: kind === "word" && KEYWORDS.has(same) ? "keyword" : kind, text, same });
  }
  for (let i = found.length - 1; i >= 0 && (found[i].same === null || found[i].same === ";"); i--) found[i].same = null;
  return found;
}

// Marks `differs` on the tokens of both sides that have no partner in a longest common subsequence.
function compareTokens(left, right) {
  const a = left.filter((token) => token.same !== null);
  const b = right.filter((token) => token.same !== null);
  let start = 0;
  while (start < a.length && start < b.length && a[start].same === b[start].same) start++;
  let endA = a.length;
  let endB = b.length;
  while (endA > start && endB > start && a[endA - 1].same === b[endB - 1].same) [endA, endB] = [endA - 1, endB - 1];
  const rows = endA - start;
  const columns = endB - start;
  if (!rows && !columns) return false;
  if (!rows || !columns || rows * columns > MAX_CELLS) {
    for (const token of a.slice(start, endA)) token.differs = true;
    for (const token of b.slice(start, endB)) token.differs = true;
    return true;
  }
  const width = columns + 1;
  const longest = new Uint16Array((rows + 1) * width);
  for (let i = rows - 1; i >= 0; i--) {
    for (let j = columns - 1; j >= 0; j--) {
      longest[i * width + j] =
        a[start + i].same === b[start + j].same
          ? longest[(i + 1) * width + j + 1] + 1
          : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
    }
  }
  let i = 0;
  let j = 0;
  while (i < rows || j < columns) {
    if (i < rows && j < columns && a[start + i].same === b[start + j].same) [i, j] = [i + 1, j + 1];
    else if (j >= columns || (i < rows && longest[(i + 1) * width + j] >= longest[i * width + j + 1])) a[start + i++].differs = true;
    else b[start + j++].differs = true;
  }
  return true;
}

// A blank before a clause outside brackets becomes a new line, where the SQL is long and has none of its own.
function laidOut(tokens) {
  const length = tokens.reduce((sum, token) => sum + token.text.length, 0);
  if (length <= LONG_LINE || tokens.some((token) => token.text.trim().includes("\n") || /\n\s*\S?/.test(token.text.trimEnd()))) return tokens;
  let depth = 0;
  tokens.forEach((token, n) => {
    if (token.text === "(") depth++;
    if (token.text === ")") depth--;
    const next = tokens[n + 1];
    if (depth === 0 && token.kind === "space" && n > 0 && next && next.kind === "keyword" && CLAUSES.has(next.same)) token.text = "\n";
  });
  return tokens;
}

// <code> with a span for each token that is coloured, and <mark> round those that differ.
function sqlElement(tokens, markClass) {
  const code = element("code", { class: "sql", translate: "no" });
  let mark = null;
  laidOut(tokens).forEach((token, n) => {
    const within = mark && token.same === null && tokens.slice(n + 1).find((next) => next.same !== null)?.differs;
    if (!token.differs && !within) mark = null;
    else if (!mark) code.append((mark = element("mark", { class: markClass })));
    const text = visible(token.text);
    const plain = token.kind === "space" || token.kind === "word" || token.kind === "sign" || token.kind === "name";
    (mark || code).append(plain ? text : element("span", { class: `sql-${token.kind}` }, text));
  });
  return code;
}
