"use strict";
(() => {
  const LEGEND_LINE_PX = 20;
  const LEGEND_CHARACTER_PX = 7;
  const plots = [...document.querySelectorAll(".plot")].map((place) => {
    const figure = JSON.parse(place.querySelector("script").textContent);
    place.textContent = "";
    return { place, figure };
  });

  // Plotly does not read the page's style: text and grid take their colours from it here, again when the theme changes.
  const themed = (layout) => {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const made = structuredClone(layout);
    made.font = { color: colour("--ink"), size: 12.5, family: getComputedStyle(document.body).fontFamily };
    made.modebar = { bgcolor: "rgba(0,0,0,0)", color: colour("--line"), activecolor: colour("--accent") };
    made.hoverlabel = { bgcolor: colour("--panel"), bordercolor: colour("--line"), font: { color: colour("--ink") } };
    for (const name of Object.keys(made).filter((key) => /^[xy]axis\d*$/.test(key))) {
      made[name] = { ...made[name], gridcolor: colour("--grid"), linecolor: colour("--line"), showline: true };
    }
    return made;
  };

  // The legend stands below the plot, so the plot grows with the lines that the legend needs at this width.
  const legendPx = (place, figure) => {
    const names = figure.data.filter((trace) => trace.showlegend !== false).map((trace) => trace.name);
    const entry = 50 + LEGEND_CHARACTER_PX * Math.max(...names.map((name) => name.length));
    const perLine = Math.max(1, Math.floor((place.clientWidth - 80) / entry));
    return LEGEND_LINE_PX * Math.ceil(names.length / perLine) + 8;
  };

  const draw = ({ place, figure }) => {
    const legend = legendPx(place, figure);
    const height = Number(place.dataset.height) + legend;
    place.style.height = `${height}px`;
    const layout = themed(figure.layout);
    layout.height = height;
    layout.margin.b += legend;
    Plotly.react(place, figure.data, layout, { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"] });
  };
  const drawAll = () => plots.forEach(draw);
  drawAll();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  let waiting = 0;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(drawAll, 200);
  });

  const key = (row, index) => {
    const cell = row.cells[index];
    return cell.dataset.sort === undefined ? cell.textContent : Number(cell.dataset.sort === "inf" ? Infinity : cell.dataset.sort);
  };
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? (a === b ? 0 : a - b) : String(a).localeCompare(String(b)));
  document.querySelectorAll("th button").forEach((button) => {
    button.addEventListener("click", () => {
      const head = button.parentElement;
      const body = head.closest("table").tBodies[0];
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const rows = [...body.rows].sort((a, b) => compare(key(a, head.cellIndex), key(b, head.cellIndex)));
      body.append(...(up ? rows : rows.reverse()));
    });
  });
})();
