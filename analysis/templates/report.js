"use strict";

// Tables: a click on a heading sorts, another click reverses the order.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = heading.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const up = heading.getAttribute("aria-sort") !== "ascending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = (row) => row.cells[column].dataset.value;
      const numeric = heading.dataset.kind !== "text";
      const compare = (a, b) =>
        numeric ? compareNumbers(Number(key(a)), Number(key(b))) : key(a).localeCompare(key(b));
      body.append(...[...body.rows].sort((a, b) => (up ? compare(a, b) : compare(b, a))));
    });
  });
}

function compareNumbers(a, b) {
  return a === b ? 0 : a < b ? -1 : 1; // not a - b, which is NaN for two infinities
}

// Series: a click hides or shows an algorithm in all figures; a double click shows it alone.
const switches = [...document.querySelectorAll(".series button[data-place]")];
function show(button, visible) {
  button.setAttribute("aria-pressed", String(visible));
  for (const part of document.querySelectorAll(`figure [data-series="${button.dataset.place}"]`)) {
    part.classList.toggle("hidden", !visible);
  }
}
for (const button of switches) {
  button.addEventListener("click", () =>
    show(button, button.getAttribute("aria-pressed") !== "true"),
  );
  button.addEventListener("dblclick", () =>
    switches.forEach((other) => show(other, other === button)),
  );
}
document
  .querySelector(".series .all")
  ?.addEventListener("click", () => switches.forEach((button) => show(button, true)));
