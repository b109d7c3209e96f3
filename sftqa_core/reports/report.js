"use strict";
{
  const inks = JSON.parse(document.getElementById("inks").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const config = { displayModeBar: false, displaylogo: false, scrollZoom: false, doubleClick: false, responsive: true };
  const places = [...document.querySelectorAll(".chart")];
  const inked = (text, theme) => JSON.parse(text, (key, value) =>
    key !== "color" ? value : value === inks.light.ink ? inks[theme].ink : value === inks.light.tools ? inks[theme].tools : value);
  const drawn = (place, theme) => {
    const { data, layout } = inked(place.parentElement.querySelector("script").textContent, theme);
    layout.font = { ...layout.font, family: "system-ui, sans-serif", size: 13 };
    return Plotly.react(place, data, { ...layout, autosize: true }, config);
  };
  const all = (theme) => Promise.all(places.map((place) => drawn(place, theme)));
  all(dark.matches ? "dark" : "light").then(() => { document.documentElement.dataset.drawn = "yes"; });
  dark.addEventListener("change", () => all(dark.matches ? "dark" : "light"));
  // a chart in a folded section has no width until it opens
  for (const box of document.querySelectorAll("details"))
    box.addEventListener("toggle", () => { if (box.open) box.querySelectorAll(".chart").forEach((place) => Plotly.Plots.resize(place)); });
  const folded = [];
  addEventListener("beforeprint", () => {
    for (const box of document.querySelectorAll("details:not([open])")) { folded.push(box); box.open = true; }
    all("light");
  });
  addEventListener("afterprint", () => {
    for (const box of folded.splice(0)) box.open = false;
    all(dark.matches ? "dark" : "light");
  });
}
