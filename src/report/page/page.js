// Sorts tables by their heads: by click, or by Enter and Space. Without it the page is whole, in its own order.
"use strict";
(() => {
  const letters = new Intl.Collator("en", { numeric: true });

  // The exact value where what is shown is rounded; null where there is none.
  const valueOf = (cell) => {
    const exact = cell.querySelector("data");
    return (exact ? exact.value : cell.textContent.trim()) || null;
  };

  const comparison = (isNumber) => (a, b) => (isNumber ? Number(a) - Number(b) : letters.compare(a, b));

  // Rows without a value come last either way; equal rows keep the order of the file.
  const sorted = (rows, index, isNumber, direction) => {
    const compare = comparison(isNumber);
    const keyed = rows.map((row) => ({ row, value: valueOf(row.cells[index]) }));
    keyed.sort((a, b) => {
      if (a.value === null || b.value === null) return (a.value === null) - (b.value === null);
      return direction * compare(a.value, b.value);
    });
    return keyed.map((entry) => entry.row);
  };

  // Ascending, then descending, then the order of the file again.
  const next = { none: "ascending", ascending: "descending", descending: "none" };

  const makeSortable = (table) => {
    const body = table.tBodies[0];
    const original = [...body.rows];
    const heads = [...table.tHead.rows[0].cells];
    const sortBy = (head, index) => {
      const order = next[head.getAttribute("aria-sort") || "none"];
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      if (order === "none") return body.append(...original);
      head.setAttribute("aria-sort", order);
      const direction = order === "ascending" ? 1 : -1;
      body.append(...sorted(original, index, head.classList.contains("number"), direction));
    };
    heads.forEach((head, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sortBy(head, index));
      head.append(button);
    });
  };

  document.querySelectorAll("table.sortable").forEach(makeSortable);
})();
