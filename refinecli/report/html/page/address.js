// ---------------------------------------------------------------- the address
// What is looked at stands in the address after the #, to be sent to others: #ID opens a datapoint,
// and #?show=failing&item=polite or #ID?… filters the table too.

const START = { q: "", show: "all", item: "", tag: "", sort: TWO ? "shift" : "place" };
let view = { ...START };

const linkTo = (point) => `#${encodeURIComponent(point.name)}`;

function addressOf(wanted, point) {
  const changed = Object.entries(wanted).filter(([name, value]) => value !== START[name]);
  const query = new URLSearchParams(changed).toString();
  return `#${point ? encodeURIComponent(point.name) : ""}${query && `?${query}`}`;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

// The view and the name that the address asks for; null where it leads to a part of the page.
function readAddress() {
  const [first, ...rest] = location.hash.slice(1).split("?");
  const name = decoded(first);
  if (first && !rest.length && !named.has(name) && byId(first)) return null;
  const asked = new URLSearchParams(rest.join("?"));
  const wanted = Object.fromEntries(Object.entries(START).map(([key, value]) => [key, asked.get(key) ?? value]));
  if (!COLUMNS.some(([key]) => key === wanted.sort.replace("-", ""))) wanted.sort = START.sort;
  return { name, wanted };
}

// What is typed and stepped through replaces the entry, so that Back leaves it at once.
function remember(point, { replace = false } = {}) {
  const address = addressOf(view, point);
  if (address === (location.hash || "#")) return;
  const state = { opened: Boolean(point) && (replace ? Boolean(history.state && history.state.opened) : true) };
  if (replace) history.replaceState(state, "", address);
  else history.pushState(state, "", address);
}
