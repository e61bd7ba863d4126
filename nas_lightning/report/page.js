"use strict";
// Shows, over each figure, the text of the point that is nearest to the pointer or the finger.
for (const place of document.querySelectorAll(".drawing")) {
  const panels = JSON.parse(document.getElementById(`${place.id}-data`).textContent);
  const isNarrow = window.matchMedia("(max-width: 719px)"); // as in page.css
  const [mark, tip] = ["mark", "tip"].map((name) => {
    const element = place.appendChild(document.createElement("div"));
    element.className = name;
    element.hidden = true;
    return element;
  });

  const nearest = (across, down, box) => {
    let found = null;
    let least = Infinity;
    for (const panel of panels) {
      const [left, top, width, height, x0, x1, y0, y1] = isNarrow.matches ? panel.narrow : panel.wide;
      const [fromLeft, fromTop] = [across - left * box.width, down - top * box.height];
      const isBeside = fromLeft < -24 || fromTop < -24 || fromLeft > width * box.width + 24 || fromTop > height * box.height + 24;
      if (isBeside) continue;
      panel.texts.forEach((text, number) => {
        const x = box.width * (left + (width * (panel.x[number] - x0)) / (x1 - x0));
        const y = box.height * (top + (height * (y1 - panel.y[number])) / (y1 - y0));
        const distance = Math.hypot(x - across, y - down);
        if (distance < least) [found, least] = [{ x, y, text }, distance];
      });
    }
    return found;
  };

  const show = (event) => {
    const box = place.getBoundingClientRect();
    const found = nearest(event.clientX - box.left, event.clientY - box.top, box);
    mark.hidden = tip.hidden = !found;
    if (!found) return;
    tip.textContent = found.text; // text, whatever the files hold
    for (const element of [mark, tip]) {
      element.style.left = `${found.x}px`;
      element.style.top = `${found.y}px`;
    }
    const over = found.x + 12 + tip.offsetWidth - box.width; // a tip that would hang over the edge lies on the other side
    tip.style.left = `${Math.max(0, over > 0 ? found.x - 12 - tip.offsetWidth : found.x + 12)}px`;
  };
  place.addEventListener("pointermove", show);
  place.addEventListener("pointerdown", show);
  place.addEventListener("pointerleave", () => { mark.hidden = tip.hidden = true; });
}

// Tables with a file's name: a click on a head sorts, two buttons copy the table and save it as CSV.
for (const table of document.querySelectorAll("table[data-file]")) {
  const [body, heads] = [table.tBodies[0], [...table.tHead.rows[0].cells]];
  const number = (text) => parseFloat(text.replace(/,/g, ""));
  heads.forEach((head, column) => {
    const button = head.appendChild(document.createElement("button"));
    button.textContent = head.firstChild === button ? "#" : head.firstChild.data;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const sign = head.ariaSort === "ascending" ? -1 : 1;
      const compare = (a, b) => {
        const [x, y] = [a, b].map((row) => row.cells[column].textContent);
        if (!x || !y) return !x - !y; // empty cells come last
        return sign * (number(x) - number(y) || x.localeCompare(y, "en", { numeric: true }));
      };
      for (const other of heads) other.ariaSort = null;
      head.ariaSort = sign > 0 ? "ascending" : "descending";
      body.append(...[...body.rows].sort(compare));
    });
  });

  const plain = (text) => (/^-?[\d,]+(\.\d+)?$/.test(text) ? text.replace(/,/g, "") : text);
  const cells = () => [...table.rows].map((row) => [...row.cells].map((cell) => plain(cell.textContent)));
  const formula = /^[=+\-@\t\r](?![\d.]+$)/; // a spreadsheet would run it
  const quoted = (text) => `"${(formula.test(text) ? `'${text}` : text).replace(/"/g, '""')}"`;
  const bar = document.createElement("p");
  const add = (label, act) => {
    const button = bar.appendChild(document.createElement("button"));
    button.textContent = label;
    button.addEventListener("click", () => act(button));
  };
  add("Copy", (button) => {
    const area = bar.appendChild(document.createElement("textarea")); // pages from files and plain http have no other clipboard
    area.value = cells().map((row) => row.join("\t")).join("\n");
    area.select();
    button.textContent = document.execCommand("copy") ? "Copied" : "Not copied";
    area.remove();
  });
  add("Download CSV", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([cells().map((row) => row.map(quoted).join(",")).join("\n")], { type: "text/csv" }));
    link.download = table.dataset.file;
    link.click();
  });
  bar.className = "tools";
  table.parentElement.before(bar);
}
