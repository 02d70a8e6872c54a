// ---------------------------------------------------------------- elements and words
// All text goes into the page as text, never as HTML.

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
  made.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

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
// Against the other of two runs; what wants a look comes first.
const SHIFTS = {
  now_fail: ["✓→✗ fails now", "bad"],
  now_pass: ["✗→✓ passes now", "good"],
  down: ["↓ lower", "bad"],
  up: ["↑ higher", "good"],
  unscored: ["? no score in one", "unsure"],
  equal: ["= same", ""],
  alone: ["– in one run only", ""],
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
const counted = (n, word) => `${whole.format(n)} ${word}${n === 1 ? "" : "s"}`;

function mark(verdict) {
  const [sign, tone] = MARKS[verdict];
  return element("span", { class: `mark ${tone}`, role: "img", "aria-label": verdict }, sign);
}
