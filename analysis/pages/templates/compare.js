const MOST_ROWS = 100, PALE = 0.06;
let page = null, kept = null, brushed = new Map();  // trials that a drag along an axis keeps, by chart
const seen = new Set();  // charts that were scrolled to
const places = () => [...document.querySelectorAll("[data-chart]")].filter(place => page.charts[place.dataset.chart]);
function studiesOn() {
  const engine = document.getElementById("engine").value, data = document.getElementById("data").value;
  const on = new Set();
  for (const box of document.querySelectorAll("[data-study]")) {
    const place = Number(box.dataset.study), study = page.studies[place];
    if (box.checked && (!engine || study.engine === engine) && (!data || study.data === data)) on.add(place);
  }
  return on;
}
function filter() {  // the studies and trials that the filters leave
  const on = studiesOn(), reason = document.getElementById("reason").value;
  const trials = new Set();
  page.trials.forEach((trial, number) => { if (on.has(trial[0]) && (!reason || trial[2] === reason)) trials.add(number); });
  return { on, trials };
}
function isChosen(number) {
  for (const trials of brushed.values()) if (!trials.has(number)) return false;
  return true;
}
function only(values, which) { return Array.isArray(values) ? which.map(place => values[place]) : values; }
function filtered(trace, owner) {
  if ("study" in owner) return Object.assign({}, trace, { visible: kept.on.has(owner.study) });
  const whose = owner.trials || owner.studies;
  if (!whose) return trace;
  const there = owner.trials ? kept.trials : kept.on;
  const which = whose.map((_, place) => place).filter(place => there.has(whose[place]));
  const result = Object.assign({}, trace);
  if (trace.type === "parcoords") {
    result.dimensions = trace.dimensions.map(axis => Object.assign({}, axis, { values: only(axis.values, which) }));
    result.line = Object.assign({}, trace.line, { color: only(trace.line.color, which) });
    result.labelfont = { size: 13 };
    result.tickfont = { size: 11, color: themed({}).font.color };
    return result;
  }
  for (const name of ["x", "y", "text"]) result[name] = only(trace[name], which);
  if (owner.trials && brushed.size) {
    result.selectedpoints = which.map((from, place) => isChosen(whose[from]) ? place : -1).filter(place => place >= 0);
    result.selected = { marker: { opacity: 0.9 } };
    result.unselected = { marker: { opacity: PALE } };
  }
  return result;
}
function draw(place) {
  const name = place.dataset.chart, figure = page.charts[name];
  place.style.height = (figure.layout.height || 400) + "px";
  const data = figure.data.map((trace, number) => filtered(trace, figure.owners[number]));
  const layout = themed(figure.layout);
  layout.legend.y = 1 + 34 / (figure.layout.height || 400);
  if (figure.layout.margin) layout.margin = Object.assign({ r: 40, t: 60, b: 30, l: 80 }, figure.layout.margin);
  return Plotly.react(place, data, layout, { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d"] });
}
function drawSeen(but) {
  for (const place of places()) if (seen.has(place.dataset.chart) && place.dataset.chart !== but) draw(place);
}
function brush(place) {  // a drag along the axes of parallel coordinates
  const name = place.dataset.chart, trace = page.charts[name].data[0], owner = page.charts[name].owners[0];
  const ranges = place.data[0].dimensions.map(axis => axis.constraintrange);
  const inside = (range, value) => (Array.isArray(range[0]) ? range : [range]).some(([low, high]) => low <= value && value <= high);
  trace.dimensions.forEach((axis, place) => { axis.constraintrange = ranges[place]; });  // stays when it is drawn again
  if (ranges.every(range => !range || !range.length)) brushed.delete(name);
  else {
    const here = new Set(owner.trials);
    const chosen = new Set(owner.trials.filter((_, row) =>
      ranges.every((range, axis) => !range || !range.length || inside(range, trace.dimensions[axis].values[row]))));
    brushed.set(name, { has: number => !here.has(number) || chosen.has(number) });
  }
  drawSeen(name);
  tell();
}
function tell() {  // the number of trials that are left, and their table
  const left = [...kept.trials].filter(isChosen);
  document.getElementById("count").textContent = left.length + " of " + page.trials.length + " trials";
  const cell = (value, kind) => { const td = document.createElement("td"); td.textContent = value === null ? "" : value; td.className = kind; return td; };
  document.querySelector("#rows tbody").replaceChildren(...left.slice(0, MOST_ROWS).map(number => {
    const [study, trial, reason, objective, epoch, epochs, seconds, gap, params] = page.trials[number];
    const row = document.createElement("tr");
    row.append(cell(page.studies[study].name, ""), cell(trial, "number"), cell(objective === null ? null : objective.toFixed(4), "number"),
      cell(epoch, "number"), cell(epochs, "number"), cell((seconds / 60).toFixed(1), "number"), cell(gap, "number"), cell(REASONS[reason], ""), cell(params, "wrap"));
    return row;
  }));
}
function changed() {
  kept = filter();
  for (const section of document.querySelectorAll("section")) {
    const any = [...section.querySelectorAll("[data-chart]")].some(place => page.charts[place.dataset.chart] &&
      page.charts[place.dataset.chart].owners.some(owner => kept.on.has(owner.study)));
    section.classList.toggle("off", !any);
  }
  drawSeen();
  tell();
}
async function begin() {
  if (!("DecompressionStream" in window)) {
    explain("This browser cannot unpack the charts: Chrome or Edge from 80, Firefox from 113 and Safari from 16.4 on can.");
    return;
  }
  page = JSON.parse(await unpacked("packed"));
  kept = filter();
  tell();
  const script = document.createElement("script");
  script.textContent = await unpacked("packed-plotly");
  document.head.append(script);
  const near = new IntersectionObserver(found => {  // a chart is drawn when it comes near the window
    for (const { isIntersecting, target } of found) {
      if (!isIntersecting || seen.has(target.dataset.chart)) continue;
      seen.add(target.dataset.chart);
      draw(target).then(() => target.on("plotly_restyle", () => {
        if (page.charts[target.dataset.chart].data[0].type === "parcoords") brush(target);
      }));
    }
  }, { rootMargin: "300px" });
  places().forEach(place => near.observe(place));
}
begin().catch(error => { explain("The charts could not be drawn: " + error); throw error; });
document.querySelectorAll(".filters input, .filters select").forEach(one => one.addEventListener("change", changed));
document.getElementById("reset").addEventListener("click", () => {
  document.querySelectorAll("[data-study]").forEach(box => { box.checked = true; });
  document.querySelectorAll(".filters select").forEach(one => { one.value = ""; });
  brushed.clear();
  for (const place of places()) {
    const trace = page.charts[place.dataset.chart].data[0];
    if (trace.type === "parcoords") for (const axis of trace.dimensions) delete axis.constraintrange;
  }
  changed();
});
window.addEventListener("beforeprint", () => places().forEach(place => { seen.add(place.dataset.chart); draw(place); }));
dark.addEventListener("change", () => drawSeen());
