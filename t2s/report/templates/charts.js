// The charts, drawn by Vega after the page itself is there; one after the other, while nothing else happens.

let charts = null;
const drawn = new Map();

function loadVega() {
  if (window.vegaEmbed) return;
  const script = document.createElement("script");
  script.textContent = byId("vega").textContent;
  document.head.append(script);
}

function startCharts(specs, follow) {
  charts = { specs, follow };
  drawCharts();
  onLanguage(drawCharts);
}

async function drawCharts() {
  for (const plot of document.querySelectorAll(".plot[data-chart]")) {
    await new Promise((resolve) => (window.requestIdleCallback ? requestIdleCallback(resolve, { timeout: 400 }) : setTimeout(resolve, 1)));
    await drawChart(plot);
  }
  root.dataset.charts = language;
}

async function drawChart(plot) {
  const name = plot.dataset.chart;
  const spec = charts.specs[language][name];
  if (!spec || drawn.get(name)?.language === language) return;
  loadVega();
  drawn.get(name)?.result?.finalize();
  const entry = { language };
  drawn.set(name, entry);
  // `ast`: expressions are interpreted, so that the page's policy need not allow eval.
  entry.result = await vegaEmbed(plot, spec, { ast: true, actions: false, renderer: "svg", defaultStyle: false, tooltip: showTip });
  showLegend(plot, spec.usermeta?.legend || {});
  entry.result.view.addEventListener("click", (event, item) => {
    if (item?.datum?.filter) charts.follow(item.datum.filter);
  });
}

function showLegend(plot, colours) {
  const items = Object.entries(colours).map(([name, colour]) => {
    const swatch = element("span", { class: "swatch", "aria-hidden": "true" });
    swatch.style.background = colour;
    return element("li", null, swatch, name);
  });
  plot.previousElementSibling.replaceChildren(...items);
}

// Vega's own tooltip is made of HTML; ours of texts. Titles of blanks alone are lines without a name.
function showTip(handler, event, item, value) {
  const tip = byId("tip");
  tip.hidden = value === null || value === undefined;
  if (tip.hidden) return;
  const lines = Object.entries(value).map(([name, text]) =>
    element("p", { class: name.trim() ? null : "tip-head" }, name.trim() ? element("span", null, name) : null, String(text)),
  );
  tip.replaceChildren(...lines);
  const { clientX: x, clientY: y } = event;
  const { offsetWidth: width, offsetHeight: height } = tip;
  tip.style.left = `${Math.max(4, Math.min(x + 14, root.clientWidth - width - 4))}px`;
  tip.style.top = `${y + 18 + height > root.clientHeight ? y - height - 12 : y + 18}px`;
}
