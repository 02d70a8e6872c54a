// ---------------------------------------------------------------- keys, and the address again

function step(by) {
  if (dialog.open) {
    const among = visible.filter((other) => other.packed);
    const place = among.indexOf(opened);
    if (place >= 0) show(among[place + by], { replace: true });
  } else if (visible.length) {
    pointAt(Math.max(0, Math.min(visible.length - 1, cursor + by)));
  }
}

const KEYS = {
  j: () => step(1),
  k: () => step(-1),
  "/": () => {
    if (dialog.open) dialog.close("search"); // and leave the focus there
    byId("search").focus();
    byId("search").select();
    byId("tools").scrollIntoView({ block: "nearest" });
  },
};

function press(event) {
  if (event.altKey || event.ctrlKey || event.metaKey || event.defaultPrevented) return;
  const field = event.target.closest("input, select, textarea");
  if (field) {
    if (event.key === "Escape" && field.id === "search") field.blur();
    return;
  }
  const arrow = dialog.open && !event.shiftKey && { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (arrow) step(arrow);
  else if (KEYS[event.key]) {
    event.preventDefault();
    KEYS[event.key]();
  }
}

// Show what the address asks for: its datapoint, and its view of the table.
function follow() {
  const asked = readAddress();
  if (asked) {
    const changed = addressOf(asked.wanted) !== addressOf(view);
    view = asked.wanted;
    const point = named.get(asked.name);
    noted = asked.name && !(point && point.packed) ?
      (point ? `${asked.name} has no details in this page` : `no datapoint is called ${asked.name}`) : "";
    if (changed || noted) apply();
    if (point && point.packed) return point === opened ? undefined : open(point);
    if (changed && location.hash.startsWith("#?")) byId("part-datapoints").scrollIntoView();
  }
  opened = null;
  if (dialog.open) dialog.close();
}

setUpFilters();
setUpTable();
setUpMap();
byId("tools").hidden = byId("list").hidden = !points.length;
byId("pointed").textContent = byId("pointed").dataset.hint;
document.addEventListener("keydown", press);
addEventListener("popstate", follow);
apply();
Promise.resolve(follow()).then(() => { document.documentElement.dataset.ready = "true"; });
