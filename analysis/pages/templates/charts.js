const dark = window.matchMedia("(prefers-color-scheme: dark)");
function themed(layout) {
  const style = getComputedStyle(document.documentElement);
  const colour = name => style.getPropertyValue(name).trim();
  const axis = { gridcolor: colour("--line"), zerolinecolor: colour("--line"), linecolor: colour("--quiet"), automargin: true };
  const result = Object.assign({}, layout, {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: colour("--ink"), family: "system-ui, sans-serif", size: 13 },
    hoverlabel: { bgcolor: colour("--panel"), bordercolor: colour("--quiet"), font: { color: colour("--ink") } },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, itemsizing: "constant" },
    margin: layout.margin || { l: 64, r: 24, t: 64, b: 48 },
    hovermode: "closest",
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--line"), activecolor: colour("--ink") },
  });
  const axes = Object.keys(layout).filter(key => /^[xy]axis/.test(key));
  for (const name of new Set([...axes, "xaxis", "yaxis"])) {
    result[name] = Object.assign({}, layout[name], axis);
  }
  return result;
}
async function unpacked(id) {  // base64 of zlib's format, as analysis/pages/packing.py writes it
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), letter => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).text();
}
function explain(words) {
  for (const place of document.querySelectorAll(".chart")) place.textContent = words;
}
