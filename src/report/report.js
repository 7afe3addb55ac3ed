//<![CDATA[
"use strict";
// Sorts and searches the samples. Without it the page shows them in their order.
document.querySelectorAll(".samples").forEach(section => {
  const body = section.querySelector("tbody"), search = section.querySelector("input");
  const rows = [...body.rows].map(row => ({ row, text: row.textContent.toLowerCase() }));
  const count = () => {
    const wanted = search.value.trim().toLowerCase();
    let n = 0;
    rows.forEach(r => {
      r.row.hidden = !r.text.includes(wanted);
      if (!r.row.hidden) n++;
    });
    section.querySelector(".count").textContent = n + " of " + rows.length + " samples";
  };
  const sort = header => {
    const down = header.getAttribute("aria-sort") !== "descending", place = header.cellIndex;
    const value = r => r.row.cells[place].textContent;
    const numbers = rows.every(r => !Number.isNaN(Number(value(r))));
    const keyed = rows.map(r => ({ r, key: numbers ? Number(value(r)) : value(r) }));
    keyed.sort((a, b) => (a.key > b.key ? 1 : a.key < b.key ? -1 : 0) * (down ? -1 : 1));
    section.querySelectorAll("th").forEach(th => th.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    body.append(...keyed.map(k => k.r.row));
  };
  section.querySelectorAll("th button").forEach(b => b.addEventListener("click", () => sort(b.parentNode)));
  search.addEventListener("input", count);
  section.querySelector(".tools").hidden = false;
  count();
});
//]]>
