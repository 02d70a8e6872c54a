// ---------------------------------------------------------------- the map: items × datapoints
// Columns are the table's rows, in its order. As many as can be seen are drawn, on one canvas.

const CELL = 18; // pixels: a row's height
const WIDEST = 36; // of a column
const NARROWEST = 5;
const MOST_ITEMS = 30;
const canvas = byId("canvas");
let mapped = []; // the items that have a row, by their place in RUN.items
let width = WIDEST; // of a column
let pointed = null; // [item's row, column] under the mouse or the keys

function setUpMap() {
  const failures = new Map(RUN.items.map((_, item) => [item, [0, 0]]));
  for (const point of points) {
    point.items.forEach((item, at) => {
      const of = failures.get(item);
      of[0] += isFailure(point.marks[at]);
      of[1] += 1;
    });
  }
  // An item of one datapoint makes no row of a map.
  mapped = RUN.items.map((_, item) => item).filter((item) => failures.get(item)[1] > 1);
  if (mapped.length > MOST_ITEMS) {
    mapped.sort((one, other) => failures.get(other)[0] - failures.get(one)[0]).splice(MOST_ITEMS);
    byId("unmapped").textContent = `The ${MOST_ITEMS} items that fail most of ${whole.format(RUN.items.length)}.`;
  }
  byId("map").hidden = !mapped.length || points.length < 2;
  if (byId("map").hidden) return;
  byId("dotted").hidden = !TWO;
  byId("mapped").append(...mapped.map((item) => element("button", {
    type: "button", title: RUN.items[item], disabled: !failures.get(item)[0],
    onclick: () => change({ item: view.item === RUN.items[item] ? "" : RUN.items[item] }),
  }, element("bdi", {}, RUN.items[item]))));
  canvas.addEventListener("mousemove", (event) => pointTo(cellAt(event)));
  canvas.addEventListener("mouseleave", () => pointTo(null));
  canvas.addEventListener("click", (event) => openCell(cellAt(event)));
  canvas.addEventListener("keydown", steer);
  byId("across").addEventListener("scroll", () => requestAnimationFrame(paint), { passive: true });
  addEventListener("resize", () => requestAnimationFrame(drawMap));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
}

function drawMap() {
  if (byId("map").hidden) return;
  const room = byId("across").clientWidth;
  width = Math.max(NARROWEST, Math.min(WIDEST, room / Math.max(1, visible.length)));
  byId("columns").style.width = `${Math.ceil(width * visible.length)}px`;
  for (const [at, button] of [...byId("mapped").children].entries()) {
    button.setAttribute("aria-pressed", String(RUN.items[mapped[at]] === view.item));
  }
  pointTo(null);
}

function paint() {
  const across = byId("across");
  const room = Math.min(across.clientWidth, Math.ceil(width * visible.length));
  const sharp = devicePixelRatio || 1;
  Object.assign(canvas, { width: Math.max(1, room * sharp), height: mapped.length * CELL * sharp });
  Object.assign(canvas.style, { width: `${room}px`, height: `${mapped.length * CELL}px` });
  const pen = canvas.getContext("2d");
  pen.scale(sharp, sharp);
  const colours = coloursNow();
  const first = Math.floor(across.scrollLeft / width);
  const last = Math.min(visible.length, Math.ceil((across.scrollLeft + room) / width));
  for (let column = first; column < last; column += 1) {
    const x = column * width - across.scrollLeft;
    mapped.forEach((item, at) => paintCell(pen, colours, visible[column], item, x, at * CELL));
  }
  if (!pointed) return;
  pen.strokeStyle = colours.text;
  pen.lineWidth = 2;
  pen.strokeRect(pointed[1] * width - across.scrollLeft, pointed[0] * CELL, width - 1, CELL - 1);
}

function coloursNow() {
  const style = getComputedStyle(document.documentElement);
  const names = ["text", "ground", "cell-passed", "cell-failed", "cell-ungraded", "cell-skipped"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

function paintCell(pen, colours, point, item, x, y) {
  const at = point.items.indexOf(item);
  const sign = at < 0 ? "-" : point.marks[at];
  if (sign === "-") return;
  const gap = width > 7 ? 1 : 0;
  pen.fillStyle = sign === "p" ? colours["cell-passed"] : sign === "u" ? colours["cell-ungraded"] :
    sign === "s" ? colours["cell-skipped"] : colours["cell-failed"];
  pen.globalAlpha = isFailure(sign) ? 1 - 0.065 * Number(sign) : 1; // the less is missing, the paler
  pen.fillRect(x, y, width - gap, CELL - 1);
  pen.globalAlpha = 1;
  const before = TWO && point.oldMarks ? point.oldMarks[at] : "-";
  if (before === "-" || isFailure(before) === isFailure(sign) || (before !== "p" && sign !== "p")) return;
  pen.fillStyle = colours.text; // it flipped: a dot
  pen.beginPath();
  pen.arc(x + (width - gap) / 2, y + CELL / 2 - 0.5, Math.min(3, width / 3), 0, 2 * Math.PI);
  pen.fill();
}

function cellAt(event) {
  const column = Math.floor((event.offsetX + byId("across").scrollLeft) / width);
  const at = Math.floor(event.offsetY / CELL);
  return column < visible.length && at >= 0 && at < mapped.length ? [at, column] : null;
}

function pointTo(place) {
  pointed = place;
  paint();
  const point = place && visible[place[1]];
  const item = place && mapped[place[0]];
  byId("pointed").textContent = point ?
    `${point.name} · ${RUN.items[item]} · ${verdictOf(signOf(point, item))}` : byId("pointed").dataset.hint;
}

function openCell(place) {
  if (place && visible[place[1]].packed) show(visible[place[1]]);
}

function steer(event) {
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
  if (event.key === "Enter") openCell(pointed);
  if (!step || !visible.length || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const [at, column] = pointed || [0, -step[1]];
  const clamp = (value, most) => Math.max(0, Math.min(most, value));
  const next = [clamp(at + step[0], mapped.length - 1), clamp(column + step[1], visible.length - 1)];
  const across = byId("across");
  const x = next[1] * width;
  if (x < across.scrollLeft || x + width > across.scrollLeft + across.clientWidth) {
    across.scrollLeft = x - across.clientWidth / 2;
  }
  pointTo(next);
}
