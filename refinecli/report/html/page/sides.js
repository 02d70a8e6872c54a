// ---------------------------------------------------------------- graded again, and two runs

function repeatsOf(detail, title, repeats, role) {
  return (repeats || []).map((given, repeat) =>
    folded(`${title}, ${role} ${repeat + 1}`, grades(detail, given, "The whole reply")));
}

// What `report --regrade` asked: the first and the final response, blind, in other words.
function regraded(detail) {
  return Object.entries(detail.regraded || {}).map(([role, given]) => {
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
        element("span", { class: "tag" }, `first ${score(given.first_score)}, final ${score(given.final_score)}`)),
      element("div", { class: "scroll" }, table),
      repeatsOf(detail, "First response", given.first, role),
      repeatsOf(detail, "Final response", given.final, role));
  });
}

// ---------------------------------------------------------------- two runs side by side

const finalGrades = (detail) => (detail.again || (detail.iterations || []).find((one) => one.best) ||
  (detail.iterations || [])[0] || {}).grades || [];

function half(title, given, pieces, hides) {
  const shown = pieces ? changes(pieces.filter(([kind]) => kind !== hides)) : text(given.text);
  return element("section", { class: "half" },
    element("h4", {}, element("bdi", {}, title), " ", element("span", { class: "tag" }, `score ${score(given.score)}`)),
    given.error ? element("p", { class: "bad" }, `! ${given.error}`) : null, shown);
}

function sides(detail) {
  const old = detail.before;
  if (!old) return element("p", { class: "note" }, `It is not in ${RUN.before}, or has another conversation there.`);
  const now = finalGrades(detail);
  return element("section", { class: "sides" },
    element("h3", {}, "Side by side"),
    element("div", { class: "halves" },
      half(RUN.before, old, old.changes, "inserted"),
      half(RUN.now, { ...old.now, score: detail.again ? detail.again.score : old.now.score }, old.changes, "deleted")),
    bothGrades(old.grades || [], now));
}

function bothGrades(before, now) {
  const names = [...new Set([...now, ...before].map((grade) => grade.name))];
  const lines = names.map((name) => [name, ...[before, now].map((list) => list.find((grade) => grade.name === name))]);
  const flipped = ([, old, made]) => Boolean(old && made && old.verdict !== made.verdict);
  lines.sort((one, other) => flipped(other) - flipped(one));
  const side = (grade) => element("td", {}, grade ? [mark(grade.verdict), " ",
    grade.score === null || grade.score === undefined ? "" : score(grade.score),
    grade.feedback ? element("p", { dir: "auto" }, grade.feedback) : null,
    grade.error ? element("p", { class: "unsure" }, grade.error) : null,
    grade.reply ? folded("The grader's whole reply", text(grade.reply)) : null] : "–");
  return element("table", { class: "both" },
    element("caption", { class: "unseen" }, "Each item's grade in both runs"),
    element("thead", {}, element("tr", {}, ["Item", RUN.before, RUN.now].map((title) =>
      element("th", { scope: "col" }, element("bdi", {}, title))))),
    element("tbody", {}, lines.map((line) => element("tr", { class: flipped(line) ? "flipped" : null },
      element("th", { scope: "row" }, element("bdi", {}, line[0]), flipped(line) ? element("small", {}, "flipped") : null),
      side(line[1]), side(line[2])))));
}
