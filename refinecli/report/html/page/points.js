// ---------------------------------------------------------------- the datapoints

const RUN = json("points");
const TWO = Boolean(RUN.before); // another run stands next to this one
const FIELDS = (
  "place id prompt group tags first final outcome stopped iterations tokens passed rubric marks before"
).split(" ");
const points = RUN.rows.map((values) => pointOf(Object.fromEntries(FIELDS.map((name, at) => [name, values[at]]))));
const named = new Map();
for (const point of points) nameApart(point);
RUN.blocks.forEach((places, block) => places.forEach((place, at) => (points[place].packed = [block, at])));

function pointOf(point) {
  const { first, final } = point;
  point.change = first === null || final === null ? null : final - first;
  point.items = RUN.rubrics[point.rubric];
  if (TWO) against(point);
  const told = TWO ? SHIFTS[point.shift][0] : OUTCOMES[point.outcome][0];
  const words = [point.id, point.prompt, point.group, ...point.tags, told, stopped(point.stopped)];
  point.words = words.join("\n").toLowerCase();
  return point;
}

// What the other run had: its score, whether it passed, and its marks of the same items.
function against(point) {
  const [old, passed, marks] = point.before || [null, null, ""];
  Object.assign(point, { old, oldMarks: marks });
  point.difference = old === null || point.final === null ? null : point.final - old;
  point.shift = !point.before ? "alone" :
    passed !== null && point.passed !== null && passed !== point.passed ? (point.passed ? "now_pass" : "now_fail") :
    point.difference === null ? "unscored" :
    Math.abs(point.difference) < 0.0005 ? "equal" : point.difference > 0 ? "up" : "down";
}

// Ids may be repeated: the second is called "id (2)", as in the lists above.
function nameApart(point) {
  let name = point.id;
  for (let many = 2; named.has(name); many += 1) name = `${point.id} (${many})`;
  point.name = name;
  named.set(name, point);
}

const signOf = (point, item) => {
  const at = point.items.indexOf(item);
  return at < 0 ? "-" : point.marks[at];
};
const isFailure = (sign) => sign >= "0" && sign <= "9";
const VERDICTS = { p: "passed", u: "ungraded", s: "skipped", "-": "not asked" };

function verdictOf(sign) {
  if (!isFailure(sign)) return VERDICTS[sign];
  return sign === "0" ? "failed" : `failed, 0.${sign} of the way`;
}

// ---------------------------------------------------------------- their details

const unpacked = new Map();
const MOST_UNPACKED = 12; // blocks that are kept: stepping through neighbours finds them there

async function detailOf(point) {
  const [block, at] = point.packed;
  if (!unpacked.has(block)) {
    unpacked.set(block, unpack(byId(`b${block}`).textContent));
    if (unpacked.size > MOST_UNPACKED) unpacked.delete(unpacked.keys().next().value);
  }
  return (await unpacked.get(block))[at];
}

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).json();
}
