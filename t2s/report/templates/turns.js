// The turns that the page carries, as objects, and the interactions they make up.

// {turns: [{name, dbName, question, gold, …, haystack}], interactions: [{number, dbName, turns, first}], dbs, …}
function readTurns(content) {
  const { fields, measured } = content;
  const turns = content.turns.map((row) => {
    const turn = {};
    for (let n = 0; n < fields.length; n++) turn[fields[n]] = row[n];
    turn.dbName = content.dbs[turn.db];
    turn.verdict = content.verdicts[turn.verdict];
    turn.hardness = content.hardness[turn.hardness];
    turn.warnings = turn.warnings.map((n) => content.warnings[n]);
    if (turn.measurement) {
      turn.measurement = Object.fromEntries(measured.map((field, n) => [field, turn.measurement[n]]));
    }
    turn.group = turn.turn < 4 ? String(turn.turn + 1) : ">4";
    return turn;
  });
  const interactions = [];
  let current = null;
  for (const turn of turns) {
    if (!current || current.index !== turn.interaction) {
      current = { index: turn.interaction, number: turn.interaction + 1, dbName: turn.dbName, turns: [] };
      interactions.push(current);
    }
    turn.position = interactions.length - 1;
    current.turns.push(turn);
  }
  return { ...content, turns, interactions };
}

function folded(text) {
  return text.normalize("NFKC").toLowerCase().replace(/\s+/g, " ");
}

// What a search looks through, made once for each turn.
function haystack(turn) {
  if (turn.haystack === undefined) {
    const parts = [turn.name, turn.dbName, whole(turn.question), whole(turn.gold), whole(turn.predicted) || "", whole(turn.message)];
    turn.haystack = folded(parts.join("\n"));
  }
  return turn.haystack;
}
