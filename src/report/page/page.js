// Sorts a table by a column when its heading is clicked, or activated by Enter or Space.
// Without JavaScript, the page shows the same tables in their original order.
"use strict";
(() => {
  const collator = new Intl.Collator("en", { numeric: true });

  // Returns the exact value of a table cell, or null if the cell is empty.
  const valueOf = (cell) => {
    const exact = cell.querySelector("data");
    return (exact ? exact.value : cell.textContent.trim()) || null;
  };

  const comparison = (isNumber) => (a, b) => (isNumber ? Number(a) - Number(b) : collator.compare(a, b));

  // Returns the rows, sorted by the column with this index. Rows without a value come last. Rows with equal
  // values keep their original order.
  const sorted = (rows, index, isNumber, direction) => {
    const compare = comparison(isNumber);
    const keyed = rows.map((row) => ({ row, value: valueOf(row.cells[index]) }));
    keyed.sort((a, b) => {
      if (a.value === null || b.value === null) return (a.value === null) - (b.value === null);
      return direction * compare(a.value, b.value);
    });
    return keyed.map((entry) => entry.row);
  };

  // Successive clicks sort in ascending order, sort in descending order, and restore the original order.
  const nextOrder = { none: "ascending", ascending: "descending", descending: "none" };

  const makeSortable = (table) => {
    const body = table.tBodies[0];
    const original = [...body.rows];
    const heads = [...table.tHead.rows[0].cells];
    const sortBy = (head, index) => {
      const order = nextOrder[head.getAttribute("aria-sort") || "none"];
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
