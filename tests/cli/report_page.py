"""Checks a report page in Chromium: `report_page.py INDEX_HTML [SCREENSHOTS]`.

The script opens the page at the widths of a desktop and of a phone, in light and dark mode. It checks that
the page requests nothing from the network and logs no errors, that the document is no wider than the
window, that text has enough contrast, that column headings sort, and that links to records lead to files.

The exit code is 77 if there is no browser or no driver. `DTR_CHROMIUM` can name a browser that is not on the
path.
"""

import os
import re
import shutil
import sys
from pathlib import Path
from urllib.parse import unquote, urlparse

SKIPPED = 77
BROWSERS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
WINDOWS = {"desktop": (1280, 900), "phone": (390, 844)}
MIN_CONTRAST = 4.5  # WCAG 2, level AA, text of usual size

# A JavaScript function. Returns the lowest contrast between a text and the first opaque background behind it.
# Ignores the texts of figures.
CONTRAST = """() => {
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const channel = (c) => ((c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const background = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let least = { ratio: 21, where: "" };
  let count = 0;
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || element.closest("svg, script, style")) continue;
    const [a, b] = [parse(getComputedStyle(element).color), background(element)].map(luminance);
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    count += 1;
    if (ratio < least.ratio) least = { ratio, where: walker.currentNode.data.trim() };
  }
  return { ...least, count };
}"""

# A JavaScript function. Returns the values of a column without rounding. A missing value is null.
COLUMN = """(table, index) => [...table.tBodies[0].rows].map((row) => {
  const exact = row.cells[index].querySelector("data");
  return (exact ? exact.value : row.cells[index].textContent.trim()) || null;
})"""


def skip(reason):
    print(reason, file=sys.stderr)
    sys.exit(SKIPPED)


def find_browser():
    """Returns the driver's context manager and the browser's path. Ends the script if either is missing."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        skip("this Python has no playwright (tests/cli/requirements.txt)")
    named = os.environ.get("DTR_CHROMIUM")
    found = [shutil.which(name) for name in ([named] if named else BROWSERS)]
    browser = next(filter(None, found), None)
    return sync_playwright, browser or skip("there is no Chromium on the path")


def check_window(page, name):
    width, seen = page.evaluate("() => [document.documentElement.scrollWidth, window.innerWidth]")
    assert width <= seen, f"{name}: the document is {width} px wide in a window of {seen}"
    tables = page.locator("table.sortable")
    assert tables.count() > 0, "the page has no table"
    for at in range(tables.count()):
        inside = tables.nth(at).evaluate("(table) => getComputedStyle(table.parentElement).overflowX")
        assert inside == "auto", f"{name}: table {at} does not scroll in its own container"


def check_contrast(page, name):
    least = page.evaluate(CONTRAST)
    assert least["count"] > 0, "no text was found"
    assert least["ratio"] >= MIN_CONTRAST, f"{name}: `{least['where']}` has contrast {least['ratio']:.2f}"


def ordered(values, is_number, descending):
    """Returns the values in the order of a sorted column. Missing values are last."""
    present = [value for value in values if value is not None]
    present.sort(key=float if is_number else natural, reverse=descending)
    return present + [None] * (len(values) - len(present))


def natural(text):
    """Returns a sort key that compares numbers in a text as numbers."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", text)]


def check_sorting(page, table, index, by_keyboard):
    heads = table.locator("thead th")
    head = heads.nth(index)
    is_number = "number" in (head.get_attribute("class") or "")
    before = table.evaluate(COLUMN, index)
    if not is_number and any(", " in (value or "") for value in before):
        return  # the order of lists has no meaning
    for order in ["ascending", "descending", None]:
        if by_keyboard:
            head.locator("button").focus()
            page.keyboard.press("Enter")
        else:
            head.locator("button").click()
        assert head.get_attribute("aria-sort") == order
        assert table.locator("th[aria-sort]").count() == (1 if order else 0)
        wanted = before if order is None else ordered(before, is_number, order == "descending")
        got = table.evaluate(COLUMN, index)
        got = got if order is None or not is_number else [value and float(value) for value in got]
        wanted = wanted if order is None or not is_number else [value and float(value) for value in wanted]
        assert got == wanted, f"column {index} {order}: found {got[:8]}, expected {wanted[:8]}"


def check_all_sorting(page):
    tables = page.locator("table.sortable")
    num_sorted = 0
    for at in range(tables.count()):
        table = tables.nth(at)
        for index in range(table.locator("thead th").count()):
            check_sorting(page, table, index, by_keyboard=index % 2 == 1)
            num_sorted += 1
    assert num_sorted > 0, "no column was sorted"


def check_links(page):
    links = page.eval_on_selector_all("a[href]", "(all) => all.map((link) => link.href)")
    records = [link for link in links if "/cells-v2/" in link and link.endswith(".json")]
    assert records, "no link leads to a record"
    for link in set(links):
        assert link.startswith("file://"), f"{link} is not a link to a file"
        assert Path(unquote(urlparse(link).path)).is_file(), f"{link} leads to a missing file"
    for name in page.eval_on_selector_all("a[href^='#']", "(all) => all.map((link) => link.getAttribute('href'))"):
        assert page.locator(name).count() == 1, f"{name} is not the id of exactly one element"


def check_structure(page):
    for selector, count in {"main": 1, "h1": 1, "header": 1, "footer": 1, "nav[aria-label]": 1}.items():
        assert page.locator(selector).count() == count, f"expected {count} of {selector}"
    assert page.locator("table:not(:has(caption))").count() == 0, "a table has no caption"
    assert page.locator("th:not([scope])").count() == 0, "a column heading has no scope"
    assert page.locator(".sortable th:not([title])").count() == 0, "a column heading has no title"
    ids = page.eval_on_selector_all("[id]", "(all) => all.map((element) => element.id)")
    assert len(ids) == len(set(ids)), "two elements have the same id"


def check_page(browser, url, window, scheme, shots):
    width, height = WINDOWS[window]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    errors, requests = [], []
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(url)
    name = f"{window}-{scheme}"
    check_window(page, name)
    check_contrast(page, name)
    if shots:
        page.screenshot(path=shots / f"{name}.png", full_page=True)
    if name == "desktop-light":
        check_structure(page)
        check_links(page)
        check_all_sorting(page)
    elif scheme == "light":
        check_sorting(page, page.locator("table.sortable").first, 0, by_keyboard=False)
    assert not errors, f"{name}: the console has errors {errors}"
    outside = [request for request in requests if not request.startswith(("file://", "data:"))]
    assert requests and not outside, f"{name}: requests to the network: {outside}"
    context.close()


def main():
    url = Path(sys.argv[1]).resolve().as_uri()
    shots = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    sync_playwright, chromium = find_browser()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for window in WINDOWS:
            for scheme in ["light", "dark"]:
                check_page(browser, url, window, scheme, shots)
        browser.close()
    print("the page is readable at", ", ".join(f"{width} px" for width, _ in WINDOWS.values()))


if __name__ == "__main__":
    main()
