// ---------------------------------------------------------------- one datapoint

const dialog = byId("dialog");
const LONG = 1500; // characters of a message that are shown at once
const SHORT = 300; // of a criterion
let opened = null;

const text = (value) => element("div", { class: "text", dir: "auto" }, value || element("small", {}, "(empty)"));
const folded = (title, ...children) => element("details", {}, element("summary", {}, title), ...children);

function messages(detail) {
  const parts = (detail.convo || []).map((message) => {
    const long = message.text.length > LONG;
    const title = `${message.role} · ${whole.format(message.text.length)} characters`;
    return long ? folded(title, text(message.text)) : [element("p", { class: "role" }, message.role), text(message.text)];
  });
  if (detail.reference) parts.push(folded("Reference, shown to graders only", text(detail.reference)));
  if (detail.raw) parts.push(element("p", { class: "role" }, "the line"), text(detail.raw));
  return [element("h3", {}, "Conversation"), parts];
}

// ---------------------------------------------------------------- its responses

// A response is a draft, or a rewrite of an earlier one.
function kindOf(one) {
  if (one.role === undefined) return "Response";
  if (one.parent !== undefined) return `Rewrite ${one.iteration}, of iteration ${one.parent}`;
  return one.role === "input" ? `Given response ${one.iteration}` : `Draft ${one.iteration}`;
}

function matrix(detail) {
  const graded = (detail.iterations || []).filter((one) => one.grades);
  if (graded.length < 2) return [];
  const drafts = graded.every((one) => one.parent === undefined);
  const [across, title] = drafts ? ["Draft", "Items by draft"] : ["Iteration", "Items by iteration"];
  const head = graded.map((one) => element("th", { scope: "col", title: kindOf(one) }, one.iteration, one.best ? " ★" : ""));
  const lines = graded[0].grades.map((grade, place) => {
    const name = element("th", { scope: "row" }, element("bdi", {}, grade.name));
    return element("tr", {}, name, graded.map((one) =>
      element("td", {}, one.grades[place] ? mark(one.grades[place].verdict) : "–")));
  });
  const scores = element("tr", {}, element("th", { scope: "row" }, "score"), graded.map((one) => element("td", {}, score(one.score))));
  const table = element("table", { class: "matrix" },
    element("caption", { class: "unseen" }, title),
    element("thead", {}, element("tr", {}, element("th", { scope: "col" }, `Item \\ ${across.toLowerCase()}`), head)),
    element("tbody", {}, lines, scores));
  return [element("h3", {}, title), element("div", { class: "scroll" }, table),
    element("p", { class: "note" }, "✓ passed, ✗ failed, ? ungraded, ★ returned")];
}

// The pieces of a difference: ["", same], ["deleted", text], ["inserted", text].
function changes(pieces) {
  const made = pieces.map(([kind, piece], place) => {
    if (kind === "deleted") return element("del", {}, piece);
    if (kind === "inserted") return element("ins", {}, piece);
    return same(piece, place === 0, place === pieces.length - 1);
  });
  return element("div", { class: "text", dir: "auto" }, made.flat());
}

function same(piece, first, last) {
  const lines = piece.split("\n");
  const head = first ? 0 : 3;
  const tail = last ? 0 : 3;
  if (lines.length < head + tail + 6) return [piece];
  const middle = lines.slice(head, lines.length - tail).join("\n");
  const button = element("button", { type: "button", class: "fold" }, `… ${lines.length - head - tail} unchanged lines …`);
  button.addEventListener("click", () => button.replaceWith(middle));
  const before = lines.slice(0, head).join("\n") + (head ? "\n" : "");
  return [before, button, (tail ? "\n" : "") + lines.slice(lines.length - tail).join("\n")];
}

function wholeText(one) {
  if (one.text !== undefined || !one.changes) return one.text || "";
  const kept = one.changes.filter(([kind]) => kind !== "deleted");
  return kept.map(([, piece]) => piece.replaceAll("↵\n", "\n")).join("");
}

function response(one) {
  const plain = text(wholeText(one));
  if (!one.changes) return [plain];
  const difference = changes(one.changes);
  plain.hidden = true;
  const views = [[`Changes from ${one.parent}`, difference], ["Text", plain]].map(([title, view]) => {
    const button = element("button", { type: "button", "aria-pressed": String(view === difference) }, title);
    button.addEventListener("click", () => {
      difference.hidden = view !== difference;
      plain.hidden = view !== plain;
      for (const each of button.parentElement.children) each.setAttribute("aria-pressed", String(each === button));
    });
    return button;
  });
  return [element("div", { class: "views", role: "group", "aria-label": "Show" }, views), difference, plain];
}

// Why an adaptive loop took this step: what it promised, and what the best other step did.
function reasonOf(one) {
  if (!one.choice) return null;
  const promised = (step) => `${signed(step.gain)} for ${whole.format(Math.round(step.cost))} tokens`;
  const { instead } = one.choice;
  const other = instead && (instead.parent === null ? "a fresh draft" : `a rewrite of iteration ${instead.parent}`);
  const taken = one.parent === undefined ? "a fresh draft" : `a rewrite of iteration ${one.parent}`;
  return element("p", { class: "note reason" }, `Chosen: ${taken}, ${promised(one.choice)}` +
    (instead ? `; ${other} promised ${promised(instead)}` : "; nothing else was possible"));
}

function iteration(detail, one) {
  const tags = [one.role !== undefined && one.role, one.grades ? `score ${score(one.score)}` : "not graded",
    one.role !== undefined && (one.accepted ? (one.parent !== undefined || one.choice) && "✓ accepted" : "✗ not accepted"),
    one.best && "★ returned", one.cut_off && "cut off at the length limit",
    one.calls && counted(one.calls, "call"), one.tokens && `${whole.format(one.tokens)} tokens`];
  const feedback = (detail.iterations || []).some((each) => each.choice) ?
    "Feedback given for the best rewrite of it" : "Feedback given for the next iteration";
  const choice = one.selection || {};
  return element("section", { class: one.best ? "iteration best" : "iteration" },
    element("h3", {}, kindOf(one), tags.filter(Boolean).map((tag) => element("span", { class: "tag" }, tag))),
    reasonOf(one),
    one.reasoning ? folded("Reasoning", text(one.reasoning)) : null,
    response(one),
    choice.winner ? folded(`Selected: ${choice.winner}` + (choice.votes ? ` (votes: ${choice.votes.join(", ")})` : ""),
      (choice.reasons || []).map(text)) : null,
    one.grades ? grades(detail, one.grades) : null,
    one.feedback ? folded(feedback, text(one.feedback)) : null);
}

// ---------------------------------------------------------------- its grades

// Without a title for the replies, they stand open.
function grades(detail, given, replies = "The grader's whole reply") {
  const order = { failed: 0, ungraded: 1, passed: 2, skipped: 3 };
  const sorted = given.slice().sort((a, b) => order[a.verdict] - order[b.verdict]);
  return element("ul", { class: "grades" }, sorted.map((grade) => {
    const item = (detail.items || [])[grade.item || 0] || {};
    const kinds = [item.required && "required", item.penalty && "penalty", item.reveal && "hidden from the policy", grade.grader === "check" && "by code"];
    const about = [grade.score !== null && score(grade.score), ...kinds].filter(Boolean).join(" · ");
    const asked = item.text || item.check;
    const criterion = asked && element("p", { dir: "auto" }, element("small", {}, asked));
    return element("li", {}, mark(grade.verdict), element("b", {}, element("bdi", {}, grade.name)), " ",
      element("small", {}, about),
      asked && asked.length <= SHORT ? criterion : null,
      grade.feedback ? element("p", { dir: "auto" }, grade.feedback) : null,
      grade.error ? element("p", { class: "unsure" }, grade.error) : null,
      asked && asked.length > SHORT ? folded("Criterion", criterion) : null,
      (grade.votes || []).map((vote) => folded([mark(vote.verdict), ` ${vote.name} · ${score(vote.score)}`],
        text(vote.reply || vote.feedback || vote.error))),
      !grade.reply ? null : replies ? folded(replies, text(grade.reply)) : text(grade.reply));
  }));
}

function gradedLater(detail) {
  if (!detail.again) return null;
  return element("section", { class: "iteration" },
    element("h3", {}, "Graded later", element("span", { class: "tag" }, `score ${score(detail.again.score)}`)),
    element("p", { class: "note" }, "By a later grading of the response that was returned; the table has its score."),
    grades(detail, detail.again.grades));
}

// ---------------------------------------------------------------- the dialog

function fillDialog(point, parts) {
  const among = visible.filter((other) => other.packed);
  const place = among.indexOf(point);
  const step = (title, to, arrow, key) => element("button", { type: "button", disabled: !to, title, "aria-label": title,
    onclick: () => show(to, { replace: true }) }, arrow, " ", element("kbd", {}, key));
  const pressed = [...dialog.querySelectorAll(".bar-top button")].indexOf(document.activeElement);
  dialog.replaceChildren(
    element("div", { class: "bar-top" },
      element("h2", { id: "opened" }, element("bdi", {}, point.name)),
      element("small", { class: "where" }, place < 0 ? "" : `${whole.format(place + 1)} of ${whole.format(among.length)}`),
      step("Previous datapoint (k)", among[place - 1], "←", "k"),
      step("Next datapoint (j)", place < 0 ? undefined : among[place + 1], "→", "j"),
      element("button", { type: "button", onclick: () => dialog.close(), autofocus: true, title: "Close (Esc)" }, "Close")),
    element("div", { class: "inside" }, parts));
  if (!dialog.open) return;
  const buttons = dialog.querySelectorAll(".bar-top button"); // the last one closes
  const again = buttons[pressed]; // pressed once more, it takes the next step
  (again && !again.disabled ? again : buttons[buttons.length - 1]).focus();
}

function factsOf(point) {
  const change = TWO ? [["before → now", `${score(point.old)} → ${score(point.final)} (${signed(point.difference)})`],
    ["verdict", SHIFTS[point.shift][0]]] :
    [["score", point.first === null ? score(point.final) : `${score(point.first)} → ${score(point.final)} (${signed(point.change)})`],
      ["outcome", OUTCOMES[point.outcome][0]]];
  const facts = [["group", point.group], ["tags", point.tags.join(", ")], ...change,
    ["stopped", stopped(point.stopped)], ["tokens", whole.format(point.tokens)]];
  return element("dl", { class: "facts" }, facts.filter(([, value]) => value).map(([name, value]) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, element("bdi", {}, value)))));
}

// Open a datapoint's dialog; its details are unpacked first, which takes some milliseconds.
async function open(point) {
  opened = point;
  let detail;
  try {
    detail = await detailOf(point);
  } catch (error) {
    detail = { error: `this browser cannot unpack the details: ${error.message}` };
  }
  if (opened !== point) return; // another one was asked for in between
  fillDialog(point, [
    factsOf(point),
    detail.error ? element("p", { class: "bad" }, `! ${detail.error}`) : null,
    messages(detail).flat(2),
    TWO ? sides(point, detail) : null,
    matrix(detail),
    (detail.iterations || []).map((one) => iteration(detail, one)),
    gradedLater(detail),
    regraded(detail)]);
  dialog.returnValue = "";
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  dialog.dataset.shows = point.name;
  const at = visible.indexOf(point);
  if (at >= 0) cursor = at;
}

function show(point, how) {
  if (!point) return;
  open(point);
  remember(point, how);
}

dialog.addEventListener("close", () => {
  if (!opened) return; // the address has closed it
  opened = null;
  if (history.state && history.state.opened) history.back();
  else remember(null, { replace: true });
  pointAt(cursor, { focus: dialog.returnValue !== "search" });
});
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
