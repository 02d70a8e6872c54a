// ---------------------------------------------------------------- graded again, and two runs

const repeatsOf = (detail, title, repeats) => repeats.map((given, repeat) =>
  folded(`${title}, repeat ${repeat + 1}`, grades(detail, given, "")));

// What `report --regrade` asked: the first and the final response, blind, in other words.
function regraded(detail) {
  return Object.entries(detail.regraded || {}).map(([role, given]) => {
    if (!given.final.length) return null;
    const head = (title, repeats) => repeats.map((_, repeat) =>
      element("th", { scope: "col" }, `${title} ${repeat + 1}`));
    const cells = (repeats, item) => repeats.map((one) =>
      element("td", {}, one[item] ? mark(one[item].verdict) : "–"));
    const lines = given.final[0].map((grade, item) => element("tr", {},
      element("th", { scope: "row" }, element("bdi", {}, grade.name)),
      cells(given.first, item), cells(given.final, item)));
    const table = element("table", { class: "matrix" },
      element("caption", { class: "unseen" }, `Fresh grades by the ${role}`),
      element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "Item"),
        head("first", given.first), head("final", given.final))),
      element("tbody", {}, lines));
    return element("section", { class: "iteration regraded" },
      element("h3", {}, role === "judge" ? "Graded by the held-out judge" : "Regraded",
        element("span", { class: "tag" }, `first ${score(given.scores[0])}, final ${score(given.scores[1])}`)),
      element("div", { class: "scroll" }, table),
      repeatsOf(detail, "First response", given.first),
      repeatsOf(detail, "Final response", given.final));
  });
}

// ---------------------------------------------------------------- two runs side by side

const EDITS = { edited: "edited", renamed: "renamed", reweighted: "weighs otherwise", added: "new item", removed: "no longer asked" };
const CAUSES = {
  response: "flipped: another response",
  rubric: "flipped: the same response, an edited item",
  both: "flipped: another response, an edited item",
  grader: "flipped: the same response and item; the grader contradicts itself",
};

const ALIKE = 0.2; // of the characters: less in common than that, and marks on all the rest say nothing

function alike(pieces) {
  const lengths = { "": 0, deleted: 0, inserted: 0 };
  for (const [kind, piece] of pieces) lengths[kind] += piece.length;
  return lengths[""] >= ALIKE * (lengths[""] + Math.max(lengths.deleted, lengths.inserted));
}

function half(title, value, pieces, hides) {
  const tag = element("span", { class: "tag" }, `score ${score(value)}`);
  const seen = pieces.filter(([kind]) => kind !== hides);
  const kept = alike(pieces) ? seen : seen.length ? [["", seen.map(([, piece]) => piece.replaceAll("↵\n", "\n")).join("")]] : [];
  return element("section", { class: "half" },
    element("h4", {}, element("bdi", {}, title), " ", tag), kept.length ? changes(kept) : text(""));
}

function sides(point, detail) {
  const both = detail.before;
  if (!both) {
    return element("p", { class: "note" }, point.before ? `Its response in ${RUN.before} could not be read again.` :
      `It is not in ${RUN.before}, or has another conversation there.`);
  }
  const [old, now] = both.scores;
  return element("section", { class: "sides" },
    element("h3", {}, "Side by side", element("span", { class: "tag" }, both.same ? "the same response in both" :
      alike(both.changes) ? "" : "little in common: differences are not marked")),
    both.same ? changes(both.changes) : element("div", { class: "halves" },
      half(RUN.before, old, both.changes, "inserted"), half(RUN.now, now, both.changes, "deleted")),
    bothGrades(detail, both.items));
}

function bothGrades(detail, items) {
  const sorted = items.slice().sort((one, other) => Boolean(other.because) - Boolean(one.because));
  const notes = (item) => [...item.edits.map((edit) => EDITS[edit] || edit), item.because && CAUSES[item.because]].filter(Boolean);
  return element("table", { class: "both" },
    element("caption", { class: "unseen" }, "Each item's grade in both runs, flipped ones first"),
    element("thead", {}, element("tr", {}, ["Item", RUN.before, RUN.now].map((title) =>
      element("th", { scope: "col" }, element("bdi", {}, title))))),
    element("tbody", {}, sorted.map((item) => element("tr", { class: item.because ? "flipped" : null },
      element("th", { scope: "row" }, element("bdi", {}, item.name), element("small", {}, notes(item).join("; "))),
      item.grades.map(graded)))));
}

function graded(grade) {
  if (!grade) return element("td", {}, "–");
  return element("td", {}, mark(grade.verdict), " ", grade.score === null || grade.score === undefined ? "" : score(grade.score),
    grade.feedback ? element("p", { dir: "auto" }, grade.feedback) : null,
    grade.error ? element("p", { class: "unsure" }, grade.error) : null,
    grade.reply ? folded("The grader's whole reply", text(grade.reply)) : null);
}
