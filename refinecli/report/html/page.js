"use strict";
// The datapoints: a table to sort and filter, of which as much is drawn as is looked at, and a
// dialog with one of them. All text goes into the page as text, never as HTML.
(() => {
  const byId = (id) => document.getElementById(id);
  const json = (id) => JSON.parse(byId(id).textContent);

  function element(tag, properties, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(properties || {})) {
      if (value === undefined || value === null || value === false) continue;
      if (name === "class") made.className = value;
      else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else made.setAttribute(name, value === true ? "" : value);
    }
    made.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return made;
  }

  // ---------------------------------------------------------------- words

  const OUTCOMES = {
    fixed: ["✗→✓ fixed", "good"],
    broken: ["✓→✗ broken", "bad"],
    better: ["↑ better", "good"],
    worse: ["↓ worse", "bad"],
    same: ["= same", ""],
    graded: ["graded", ""],
    gated: ["✗ gated", "bad"],
    ungraded: ["? ungraded", "unsure"],
    failed: ["! failed", "bad"],
  };
  const STOPPED = { max_iterations: "no rounds left", plateau: "no more progress" };
  const MARKS = {
    passed: ["✓", "good"],
    failed: ["✗", "bad"],
    ungraded: ["?", "unsure"],
    skipped: ["–", ""],
  };
  const whole = new Intl.NumberFormat("en");
  const score = (value) => (value === null || value === undefined ? "–" : value.toFixed(3).replace("-", "−"));
  const signed = (value) =>
    value === null ? "–" : Math.abs(value) < 0.0005 ? "0.000" : (value > 0 ? "+" : "") + score(value);
  const stopped = (word) => STOPPED[word] || word;

  // ---------------------------------------------------------------- the rows

  const FIELDS = "place id prompt group tags first final outcome stopped iterations tokens detailed".split(" ");
  const points = json("points").map((values) => {
    const point = Object.fromEntries(FIELDS.map((name, place) => [name, values[place]]));
    const { first, final } = point;
    point.change = first === null || final === null ? null : final - first;
    const words = [point.id, point.prompt, point.group, point.tags, OUTCOMES[point.outcome][0], stopped(point.stopped)];
    point.words = words.join("\n").toLowerCase();
    return point;
  });

  const COLUMNS = [
    ["id", "Datapoint"], ["group", "Group"], ["tags", "Tags"], ["first", "First"], ["final", "Final"],
    ["change", "Change"], ["outcome", "Outcome"], ["stopped", "Stopped"], ["iterations", "Iterations"],
    ["tokens", "Tokens"],
  ].filter(([key]) => !["group", "tags", "stopped"].includes(key) || points.some((point) => point[key]));
  const NUMBERS = new Set(["first", "final", "change", "iterations", "tokens"]);
  const WRITTEN = {
    first: score, final: score, change: signed, iterations: (n) => whole.format(n), tokens: (n) => whole.format(n),
    stopped,
  };
  const RANKS = Object.fromEntries(Object.keys(OUTCOMES).map((name, rank) => [name, rank]));

  function cell(point, key) {
    const kind = `c-${key}` + (NUMBERS.has(key) ? " number" : "");
    if (key === "id") {
      const name = element("bdi", {}, point.id);
      const title = point.detailed ? element("a", { href: `#dp-${point.place}` }, name) : name;
      const prompt = point.prompt ? element("small", { dir: "auto", title: point.prompt }, point.prompt) : null;
      return element("th", { scope: "row", class: kind }, title, prompt);
    }
    if (key === "outcome") {
      const [text, tone] = OUTCOMES[point.outcome];
      return element("td", { class: `${kind} ${tone}` }, text);
    }
    const value = point[key];
    return element("td", { class: kind, dir: NUMBERS.has(key) ? null : "auto" }, (WRITTEN[key] || String)(value));
  }

  // ---------------------------------------------------------------- sorting, filtering, drawing

  const CHUNK = 100; // rows drawn at a time
  const MOST_AT_ONCE = 10000; // a browser takes seconds for so many
  const FILTERS = [
    ["all", "All", () => true],
    ["fixed", "✗→✓ Fixed", (point) => point.outcome === "fixed"],
    ["broken", "✓→✗ Broken", (point) => point.outcome === "broken"],
    ["better", "↑ Better", (point) => point.change > 0],
    ["worse", "↓ Worse", (point) => point.change < 0],
    ["ungraded", "? Ungraded", (point) => point.outcome === "ungraded"],
    ["gated", "✗ Gated", (point) => point.outcome === "gated"],
    ["failed", "! Failed", (point) => point.outcome === "failed"],
    ["detailed", "With details", (point) => point.detailed],
  ];
  const state = { words: "", filter: "all", key: "place", down: false };
  let visible = points;
  let drawn = 0;
  const collator = new Intl.Collator("en", { numeric: true });

  function compare(one, other) {
    let a = one[state.key];
    let b = other[state.key];
    if (a === null || b === null || a === "" || b === "") {
      const missing = (a === null || a === "") - (b === null || b === "");
      return missing || one.place - other.place; // what is missing comes last, either way
    }
    if (state.key === "outcome") [a, b] = [RANKS[a], RANKS[b]];
    const order = typeof a === "number" ? a - b : collator.compare(a, b);
    return (state.down ? -order : order) || one.place - other.place;
  }

  function apply() {
    const test = FILTERS.find(([name]) => name === state.filter)[2];
    const words = state.words.toLowerCase().split(/\s+/).filter(Boolean);
    visible = points.filter((point) => test(point) && words.every((word) => point.words.includes(word)));
    visible.sort(compare);
    byId("rows").replaceChildren();
    drawn = 0;
    draw(CHUNK);
    byId("shown").textContent = `${whole.format(visible.length)} of ${whole.format(points.length)}`;
    for (const button of byId("filters").children) {
      button.setAttribute("aria-pressed", String(button.dataset.filter === state.filter));
    }
    for (const head of byId("heads").children) {
      const sorted = head.dataset.key === state.key;
      head.setAttribute("aria-sort", !sorted ? "none" : state.down ? "descending" : "ascending");
    }
  }

  function draw(many) {
    const part = document.createDocumentFragment();
    for (const point of visible.slice(drawn, drawn + many)) {
      part.append(element("tr", {}, COLUMNS.map(([key]) => cell(point, key))));
    }
    byId("rows").append(part);
    drawn = Math.min(visible.length, drawn + many);
    const left = visible.length - drawn;
    byId("more").hidden = !left;
    byId("all").hidden = left > MOST_AT_ONCE;
    byId("some").textContent = `Show ${Math.min(CHUNK, left)} more of ${whole.format(left)}`;
  }

  function sortBy(key) {
    // Numbers begin with what is looked for first: the largest change, but the lowest score.
    const downFirst = ["change", "iterations", "tokens"].includes(key);
    state.down = state.key === key ? !state.down : downFirst;
    state.key = key;
    apply();
  }

  function setUp() {
    byId("heads").append(
      ...COLUMNS.map(([key, title]) => {
        const kind = `c-${key}` + (NUMBERS.has(key) ? " number" : "");
        const button = element("button", { type: "button", onclick: () => sortBy(key) }, title);
        return element("th", { scope: "col", class: kind, "data-key": key }, button);
      }),
    );
    byId("filters").append(
      ...FILTERS.map(([name, title, test]) => [name, title, points.filter(test).length])
        .filter(([name, , many]) => name === "all" || (many && many < points.length) || (many && name !== "detailed"))
        .map(([name, title, many]) => {
          const choose = () => { state.filter = name; apply(); };
          const properties = { type: "button", "data-filter": name, "aria-pressed": "false", onclick: choose };
          return element("button", properties, `${title} ${whole.format(many)}`);
        }),
    );
    byId("search").addEventListener("input", (event) => { state.words = event.target.value; apply(); });
    byId("rows").addEventListener("click", (event) => {
      const link = event.target.closest("tr").querySelector("a");
      if (link && !event.target.closest("a") && getSelection().isCollapsed) location.hash = link.hash;
    });
    byId("some").addEventListener("click", () => draw(CHUNK));
    byId("all").addEventListener("click", () => draw(visible.length));
    new IntersectionObserver((seen) => { if (seen.some((one) => one.isIntersecting)) draw(CHUNK); }, {
      rootMargin: "600px",
    }).observe(byId("more"));
    byId("tools").hidden = byId("list").hidden = !points.length;
    apply();
  }

  // ---------------------------------------------------------------- one datapoint

  const dialog = byId("dialog");
  const text = (value) => element("div", { class: "text", dir: "auto" }, value || element("small", {}, "(empty)"));
  const folded = (title, ...children) => element("details", {}, element("summary", {}, title), ...children);
  const LONG = 1500; // characters of a message that are shown at once
  const SHORT = 300; // of a criterion

  function mark(verdict) {
    const [sign, tone] = MARKS[verdict];
    return element("span", { class: `mark ${tone}`, role: "img", "aria-label": verdict }, sign);
  }

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

  function matrix(detail) {
    const graded = (detail.iterations || []).filter((one) => one.grades);
    if (graded.length < 2) return [];
    const head = graded.map((one) => element("th", { scope: "col" }, one.iteration, one.best ? " ★" : ""));
    const lines = graded[0].grades.map((grade, place) => {
      const name = element("th", { scope: "row" }, element("bdi", {}, grade.name));
      return element("tr", {}, name, graded.map((one) =>
        element("td", {}, one.grades[place] ? mark(one.grades[place].verdict) : "–")));
    });
    const scores = element("tr", {}, element("th", { scope: "row" }, "score"), graded.map((one) => element("td", {}, score(one.score))));
    const table = element("table", { class: "matrix" },
      element("caption", { class: "unseen" }, "Each item's verdict by iteration"),
      element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "Item \\ iteration"), head)),
      element("tbody", {}, lines, scores));
    return [element("h3", {}, "Items by iteration"), element("div", { class: "scroll" }, table),
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

  function whole_text(one) {
    if (one.text !== undefined || !one.changes) return one.text || "";
    const kept = one.changes.filter(([kind]) => kind !== "deleted");
    return kept.map(([, piece]) => piece.replaceAll("↵\n", "\n")).join("");
  }

  function response(one) {
    const plain = text(whole_text(one));
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

  function grades(detail, one) {
    const order = { failed: 0, ungraded: 1, passed: 2, skipped: 3 };
    const sorted = (one.grades || []).slice().sort((a, b) => order[a.verdict] - order[b.verdict]);
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
        grade.reply ? folded("The grader's whole reply", text(grade.reply)) : null);
    }));
  }

  function iteration(detail, one) {
    const graded = one.grades ? `score ${score(one.score)}` : "not graded";
    const step = one.chosen && (one.parent ? `rewrite of ${one.parent}` : "draft");
    const tags = [step || one.role, graded, one.accepted ? (one.parent || one.chosen) && "✓ accepted" : "✗ not accepted",
      one.best && "★ returned", one.cut_off && "cut off at the length limit",
      one.calls && `${whole.format(one.calls)} ${one.calls === 1 ? "call" : "calls"}`, one.tokens && `${whole.format(one.tokens)} tokens`];
    const feedback = (detail.iterations || []).some((each) => each.chosen) ?
      "Feedback given for the best rewrite of it" : "Feedback given for the next iteration";
    if (one.role === undefined) tags.splice(0, 3, graded);
    const choice = one.selection || {};
    return element("section", { class: "iteration" },
      element("h3", {}, `Iteration ${one.iteration}`, tags.filter(Boolean).map((tag) => element("span", { class: "tag" }, tag))),
      one.reasoning ? folded("Reasoning", text(one.reasoning)) : null,
      response(one),
      choice.winner ? folded(`Selected: ${choice.winner}` + (choice.votes ? ` (votes: ${choice.votes.join(", ")})` : ""),
        (choice.reasons || []).map(text)) : null,
      one.grades ? grades(detail, one) : null,
      one.feedback ? folded(feedback, text(one.feedback)) : null);
  }

  function open(point) {
    const detail = json(`d${point.place}`);
    const among = visible.filter((other) => other.detailed);
    const place = among.indexOf(point);
    const step = (title, to, key) => element("button", { type: "button", disabled: !to, title, "aria-label": title,
      onclick: () => { location.hash = `dp-${to.place}`; } }, key);
    const facts = [["group", point.group], ["tags", point.tags], ["outcome", OUTCOMES[point.outcome][0]],
      ["score", point.first === null ? score(point.final) : `${score(point.first)} → ${score(point.final)} (${signed(point.change)})`],
      ["stopped", stopped(point.stopped)], ["tokens", whole.format(point.tokens)]];
    dialog.replaceChildren(
      element("div", { class: "bar-top" },
        element("h2", { id: "opened" }, element("bdi", {}, point.id)),
        step("Previous datapoint (←)", among[place - 1], "←"),
        step("Next datapoint (→)", place < 0 ? undefined : among[place + 1], "→"),
        element("button", { type: "button", onclick: () => dialog.close(), autofocus: true }, "Close")),
      element("div", { class: "inside" },
        element("dl", { class: "facts" }, facts.filter(([, value]) => value).map(([name, value]) =>
          element("div", {}, element("dt", {}, name), element("dd", {}, element("bdi", {}, value))))),
        detail.error ? element("p", { class: "bad" }, `! ${detail.error}`) : null,
        messages(detail).flat(2),
        matrix(detail),
        (detail.iterations || []).map((one) => iteration(detail, one))));
    dialog.scrollTop = 0;
    if (!dialog.open) dialog.showModal();
  }

  function follow() {
    const match = /^#dp-(\d+)$/.exec(location.hash);
    const point = match && points[Number(match[1])];
    if (point && point.detailed) open(point);
    else if (dialog.open) dialog.close();
  }

  dialog.addEventListener("close", () => {
    if (location.hash.startsWith("#dp-")) history.replaceState(null, "", "#datapoints");
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const place = { ArrowLeft: 0, ArrowRight: 1 }[event.key];
    if (place !== undefined) dialog.querySelectorAll(".bar-top button")[place].click();
  });
  window.addEventListener("hashchange", follow);

  setUp();
  follow();
  document.documentElement.dataset.ready = "true";
})();
