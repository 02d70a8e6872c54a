// ---------------------------------------------------------------- the table
// Only the rows that can be seen are in the page, between two empty ones as high as all others.

const NUMBERS = new Set(["first", "old", "final", "change", "difference", "iterations", "tokens"]);
const COLUMNS = [
  ["id", "Datapoint"], ["group", "Group"], ["tags", "Tags"],
  ...(TWO ? [["old", "Before"], ["final", "Now"], ["difference", "Change"], ["shift", "Verdict"]] :
    [["first", "First"], ["final", "Final"], ["change", "Change"], ["outcome", "Outcome"]]),
  ["stopped", "Stopped"], ["iterations", RUN.only_drafts ? "Drafts" : "Iterations"], ["tokens", "Tokens"],
].filter(([key]) => !["group", "tags", "stopped", "iterations", "first", "change", "old"].includes(key) ||
  points.some((point) => (key === "tags" ? point.tags.length : point[key])));
const WRITTEN = {
  first: score, old: score, final: score, change: signed, difference: signed, stopped,
  iterations: (n) => whole.format(n), tokens: (n) => whole.format(n), tags: (tags) => tags.join(", "),
};
const RANKS = { outcome: Object.keys(OUTCOMES), shift: Object.keys(SHIFTS) };
const SPARE = 12; // rows drawn above and below what is seen
const MOST_PRINTED = 2000;
const collator = new Intl.Collator("en", { numeric: true });
let visible = points;
let cursor = -1; // the place in `visible` of the row that j and k move from
let drawn = [0, 0];

function cell(point, key) {
  const kind = `c-${key}` + (NUMBERS.has(key) ? " number" : "");
  if (key === "id") {
    const name = element("bdi", {}, point.name);
    const title = element(point.packed ? "a" : "span", { href: point.packed && linkTo(point), title: point.name }, name);
    const prompt = point.prompt ? element("small", { dir: "auto", title: point.prompt }, point.prompt) : null;
    return element("th", { scope: "row", class: kind }, title, prompt);
  }
  if (key === "outcome" || key === "shift") {
    const [text, tone] = (key === "shift" ? SHIFTS : OUTCOMES)[point[key]];
    return element("td", { class: `${kind} ${tone}` }, text);
  }
  const text = (WRITTEN[key] || String)(point[key]);
  if (NUMBERS.has(key)) return element("td", { class: kind }, text);
  return element("td", { class: kind, dir: "auto", title: text || null }, text);
}

function row(at) {
  return element("tr", { class: at === cursor ? "at" : null, "aria-rowindex": at + 2, "data-at": at },
    COLUMNS.map(([key]) => cell(visible[at], key)));
}

function spacer(rows, height) {
  const made = element("tr", { class: "space", "aria-hidden": "true" }, element("td"));
  made.firstChild.style.height = `${rows * height}px`;
  return made;
}

function rowHeight() {
  const one = byId("rows").querySelector("tr:not(.space)");
  return (one && one.getBoundingClientRect().height) || 52;
}

function drawRows(anew) {
  const height = rowHeight();
  const above = -byId("rows").getBoundingClientRect().top / height;
  const from = Math.max(0, Math.min(Math.floor(above), visible.length) - SPARE);
  const to = Math.min(visible.length, Math.ceil(Math.max(0, above) + innerHeight / height) + SPARE);
  const slack = SPARE / 2;
  const enough = Math.abs(from - drawn[0]) < slack && Math.abs(to - drawn[1]) < slack;
  if (!anew && enough && (from > 0 || drawn[0] === 0) && (to < visible.length || drawn[1] === to)) return;
  fill(from, to, height, anew);
}

function fill(from, to, height, anew) {
  const rows = byId("rows");
  const focused = rows.contains(document.activeElement) ? document.activeElement : null;
  const kept = new Map(anew ? [] : [...rows.children].map((one) => [Number(one.dataset.at), one]));
  const made = [spacer(from, height)];
  for (let at = from; at < to; at += 1) made.push(kept.get(at) || row(at));
  rows.replaceChildren(...made, spacer(visible.length - to, height));
  if (focused && focused.isConnected) focused.focus({ preventScroll: true });
  drawn = [from, to];
}

function compare(one, other) {
  const down = view.sort.startsWith("-");
  const key = view.sort.replace("-", "");
  let [a, b] = [one[key], other[key]];
  if (key === "tags") [a, b] = [a.join(", "), b.join(", ")];
  if (a === null || b === null || a === "" || b === "") {
    const missing = (a === null || a === "") - (b === null || b === "");
    return missing || one.place - other.place; // what is missing comes last, either way
  }
  if (RANKS[key]) [a, b] = [RANKS[key].indexOf(a), RANKS[key].indexOf(b)];
  const order = typeof a === "number" ? a - b : collator.compare(a, b);
  const tie = key === "shift" ? Math.abs(other.difference) - Math.abs(one.difference) : 0;
  return (down ? -order : order) || tie || one.place - other.place;
}

function sortBy(key) {
  // Numbers begin with what is looked for first: the largest change, but the lowest score.
  const downFirst = ["change", "iterations", "tokens"].includes(key);
  const [first, second] = downFirst ? [`-${key}`, key] : [key, `-${key}`];
  change({ sort: view.sort === first ? second : first });
}

function setUpTable() {
  byId("heads").append(
    ...COLUMNS.map(([key, title]) => {
      const kind = `c-${key}` + (NUMBERS.has(key) ? " number" : "");
      const button = element("button", { type: "button", onclick: () => sortBy(key) }, title);
      return element("th", { scope: "col", class: kind, "data-key": key }, button);
    }),
  );
  byId("rows").addEventListener("click", (event) => {
    const clicked = event.target.closest("tr[data-at]");
    const link = event.target.closest("a");
    const point = clicked && visible[Number(clicked.dataset.at)];
    if (!point || !point.packed || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (!link && !getSelection().isCollapsed) return;
    event.preventDefault();
    show(point);
  });
  let waiting = false;
  const later = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; drawRows(false); });
  };
  addEventListener("scroll", later, { passive: true });
  addEventListener("resize", later);
  addEventListener("beforeprint", () => fill(0, Math.min(visible.length, MOST_PRINTED), rowHeight(), false));
  addEventListener("afterprint", () => drawRows(true));
}

// Make a row the one that j and k move from, and bring it into sight.
function pointAt(at, { focus = true } = {}) {
  if (at < 0 || at >= visible.length) return;
  cursor = at;
  const rows = byId("rows");
  const height = rowHeight();
  const top = rows.getBoundingClientRect().top + at * height;
  const room = rows.parentElement.tHead.getBoundingClientRect().height + 8;
  if (top < room || top + height > innerHeight) scrollBy(0, top - (innerHeight - height) / 2);
  drawRows(false);
  for (const one of rows.children) one.classList.toggle("at", Number(one.dataset.at) === at);
  const link = rows.querySelector(`tr[data-at="${at}"] a`);
  if (focus && link) link.focus({ preventScroll: true });
}
