"use strict";
// Draws every figure of the page from the JSON beside it, when it comes near, in one of two arrangements: a desk's and a phone's.
(() => {
  const NARROW = 600; // pixels of the page's width
  const COARSE = window.matchMedia("(pointer: coarse)").matches;
  const isNarrow = () => document.documentElement.clientWidth < NARROW;

  const merged = (first, second) => {
    const result = { ...first };
    for (const [key, value] of Object.entries(second)) {
      const below = result[key];
      const both = [value, below].every((one) => one && typeof one === "object" && !Array.isArray(one));
      result[key] = both ? merged(below, value) : value;
    }
    return result;
  };

  const arranged = (figure) => {
    const layout = structuredClone(merged(figure.layout, isNarrow() ? figure.narrow : {}));
    layout.dragmode = COARSE ? false : "zoom"; // a finger on a figure scrolls the page
    return layout;
  };

  const draw = (place) => {
    const figure = JSON.parse(document.getElementById(`${place.id}-data`).textContent);
    place.dataset.drawn = "";
    // Without a bar of buttons: it would lie on the points, and a double click undoes a zoom.
    return Plotly.newPlot(place, figure.traces, arranged(figure), { displayModeBar: false, responsive: true });
  };

  const places = [...document.querySelectorAll(".drawing")];
  const near = new IntersectionObserver((entries) => entries.forEach((entry) => {
    if (!entry.isIntersecting) return;
    near.unobserve(entry.target);
    draw(entry.target);
  }), { rootMargin: "800px 0px" });
  places.forEach((place) => near.observe(place));

  window.addEventListener("beforeprint", () => places.filter((place) => !("drawn" in place.dataset)).forEach(draw));

  let narrow = isNarrow();
  window.addEventListener("resize", () => {
    if (narrow === isNarrow()) return;
    narrow = isNarrow();
    places.filter((place) => "drawn" in place.dataset).forEach((place) => {
      Plotly.purge(place); // what changes sides, such as a colour bar, would leave its old self behind
      draw(place);
    });
  });
})();
