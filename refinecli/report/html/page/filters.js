// ---------------------------------------------------------------- filters

const FILTERS = [
  ["all", "All", () => true],
  ["failing", "✗ Does not pass", (point) => point.passed === false],
  ...(TWO ? [
    ["now_fail", "✓→✗ Fails now", (point) => point.shift === "now_fail"],
    ["now_pass", "✗→✓ Passes now", (point) => point.shift === "now_pass"],
    ["down", "↓ Lower", (point) => point.difference < -0.0005],
    ["up", "↑ Higher", (point) => point.difference > 0.0005],
  ] : [
    ["fixed", "✗→✓ Fixed", (point) => point.outcome === "fixed"],
    ["broken", "✓→✗ Broken", (point) => point.outcome === "broken"],
    ["better", "↑ Better", (point) => point.change > 0],
    ["worse", "↓ Worse", (point) => point.change < 0],
  ]),
  ["ungraded", "? Ungraded", (point) => point.outcome === "ungraded"],
  ["gated", "✗ Gated", (point) => point.outcome === "gated"],
  ["failed", "! Failed", (point) => point.outcome === "failed"],
  ["detailed", "With details", (point) => point.packed],
];
const MOST_CHOICES = 300; // of a list to pick from
let noted = ""; // why nothing opened

function passing() {
  const [, , test] = FILTERS.find(([name]) => name === view.show) || FILTERS[0];
  const words = view.q.toLowerCase().split(/\s+/).filter(Boolean);
  const item = RUN.items.indexOf(view.item);
  return (point) => test(point) &&
    (!view.item || isFailure(signOf(point, item))) &&
    (!view.tag || point.tags.includes(view.tag)) &&
    words.every((word) => point.words.includes(word));
}

// Draw the table and the map as the view has it.
function apply() {
  visible = points.filter(passing()).sort(compare);
  cursor = -1;
  drawRows(true);
  byId("table").setAttribute("aria-rowcount", visible.length + 1);
  byId("shown").textContent = noted || `${whole.format(visible.length)} of ${whole.format(points.length)}`;
  byId("clear").hidden = ["q", "show", "item", "tag"].every((name) => view[name] === START[name]);
  if (byId("search").value !== view.q) byId("search").value = view.q;
  for (const name of ["item", "tag"]) pick(byId(name), view[name]);
  for (const button of byId("filters").children) {
    button.setAttribute("aria-pressed", String(button.dataset.filter === view.show));
  }
  for (const head of byId("heads").children) {
    const sorted = head.dataset.key === view.sort.replace("-", "");
    head.setAttribute("aria-sort", !sorted ? "none" : view.sort.startsWith("-") ? "descending" : "ascending");
  }
  drawMap();
}

function pick(list, value) {
  list.value = value;
  if (list.value === value) return;
  list.append(element("option", { value }, value)); // an address may ask for what is not listed
  list.value = value;
}

function change(parts, how) {
  view = { ...view, ...parts };
  noted = "";
  apply();
  remember(opened, how);
}

function choices(id, title, counts) {
  const listed = [...counts].sort((one, other) => other[1] - one[1]).slice(0, MOST_CHOICES);
  byId(id).append(element("option", { value: "" }, title),
    ...listed.map(([name, many]) => element("option", { value: name }, `${name} (${whole.format(many)})`)));
  byId(id).parentElement.hidden = !listed.length;
  byId(id).addEventListener("change", (event) => change({ [id]: event.target.value }));
}

function tally(namesOf) {
  const counts = new Map();
  for (const point of points) for (const name of new Set(namesOf(point))) counts.set(name, (counts.get(name) || 0) + 1);
  return counts;
}

function setUpFilters() {
  byId("filters").append(
    ...FILTERS.map(([name, title, test]) => [name, title, points.filter(test).length])
      .filter(([name, , many]) => name === "all" || (many && many < points.length) || (many && name !== "detailed"))
      .map(([name, title, many]) => element("button",
        { type: "button", "data-filter": name, "aria-pressed": "false", onclick: () => change({ show: name }) },
        `${title} ${whole.format(many)}`)),
  );
  choices("item", "any item", tally((point) =>
    point.items.filter((_, at) => isFailure(point.marks[at])).map((item) => RUN.items[item])));
  choices("tag", "any tag", tally((point) => point.tags));
  byId("search").addEventListener("input", (event) => change({ q: event.target.value }, { replace: true }));
  byId("clear").addEventListener("click", () => {
    change({ q: "", show: "all", item: "", tag: "" });
    byId("search").focus();
  });
}
