"""A report in headless Chromium, from disk. Skips without chromium, chromium-driver and python3-selenium."""
import shutil
import unittest

import browser
from harness import MODEL, Case
from server import DEMO, PARAMS
from test_report import HOSTILE

if not browser.MISSING:
    from selenium.webdriver.common.keys import Keys
DATA = DEMO.parent.parent / "data"


@unittest.skipIf(browser.MISSING, f"the page is not tested: {browser.MISSING} is missing")
class ReportPage(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        case = cls.for_class()
        cls.common = case.dir
        case.run_hbar("calibrate", "--model", DEMO, "--data", DATA / "demo_calibration.jsonl", "-n", 400, "--score",
                      "margin,entropy,surprise,hbar_s,lens_depth,delta_h", "-o", ".", "--run", "demo.db", "--report",
                      "report.html")

    def open(self, path, **options):
        self.browser = browser.open_browser(self, size=(1100, 900), **options)
        self.browser.get(path.as_uri())
        return self.browser

    def all(self, selector):
        return self.browser.find_elements("css selector", selector)

    def run_script(self, script, *arguments):
        return self.browser.execute_script(script, *arguments)

    def column(self, place):
        return self.run_script("return [...document.querySelectorAll('.samples tbody tr:not([hidden])')]"
                               ".map(r => r.cells[arguments[0]].textContent)", place)

    def show(self, selector):
        self.run_script("document.querySelector(arguments[0]).scrollIntoView()", selector)

    def no_errors(self):
        self.assertEqual([e for e in self.browser.get_log("browser") if e["level"] == "SEVERE"], [])

    def check_inside(self):
        """All of each figure lies in its picture."""
        outside = self.run_script(
            "return [...document.querySelectorAll('figure svg')].filter(s => { const b = s.getBoundingClientRect();"
            "return [...s.querySelectorAll('text, circle, rect, path')].some(e => { const c = e.getBoundingClientRect();"
            "return c.left < b.left - 2 || c.right > b.right + 2 || c.top < b.top - 2 || c.bottom > b.bottom + 2 }) })"
            ".map(s => s.querySelector('title').textContent)")
        self.assertEqual(outside, [])

    def test_side_by_side(self):
        name = self.dir / ("a_long_name_with_WIDE_LETTERS_MMMMMMMM" + ".json")
        shutil.copy(next(self.common.glob("*.json")), name)
        self.run_hbar("report", name, name, self.common / "demo.db", "-q")
        self.open(self.dir / "report.html")
        browser.picture(self.browser, "report-side-by-side")
        self.check_inside()
        self.all("nav a")[1].click()
        self.assertTrue(self.browser.current_url.endswith("#r0"))
        self.no_errors()

    def test_figures(self):
        self.open(self.common / "report.html")
        browser.picture(self.browser, "report-top")
        boxes = self.run_script("return [...document.querySelectorAll('figure svg')].map(s => {"
                                "const b = s.getBoundingClientRect(); return [b.width, b.height] })")
        self.assertEqual(len(boxes), 7)
        for width, height in boxes:
            self.assertGreater(width, 200)
            self.assertGreater(height, 100)
        self.show(".figures")
        browser.picture(self.browser, "report-figures")
        self.check_inside()
        self.assertGreater(len(self.all("figure details summary")), 6)
        self.all("figure details summary")[0].send_keys(Keys.ENTER)
        self.assertTrue(self.all("figure details table")[0].is_displayed())
        self.no_errors()

    def test_sorting(self):
        self.open(self.common / "report.html")
        self.assertEqual(self.all(".count")[0].text, "400 of 400 samples")
        wrong = [float(x) for x in self.column(3)]
        self.assertEqual(wrong, sorted(wrong, reverse=True))
        button = self.all(".samples th button")[2]
        button.send_keys(Keys.ENTER)  # by keyboard alone
        p = [float(x) for x in self.column(2)]
        self.assertEqual(p, sorted(p, reverse=True))
        header = self.all(".samples th")[2]
        self.assertEqual(header.get_attribute("aria-sort"), "descending")
        button.send_keys(Keys.ENTER)
        p = [float(x) for x in self.column(2)]
        self.assertEqual(p, sorted(p))
        self.assertEqual(header.get_attribute("aria-sort"), "ascending")
        self.all(".samples th button")[0].click()
        ids = self.column(0)
        self.assertEqual(ids, sorted(ids, reverse=True))
        self.no_errors()

    def test_search(self):
        self.open(self.common / "report.html")
        self.show(".samples")
        browser.picture(self.browser, "report-samples")
        field = self.all(".samples input")[0]
        field.send_keys("CaPital of")
        shown = self.column(6)
        self.assertTrue(0 < len(shown) < 400)
        self.assertTrue(all("capital of" in text for text in shown))
        self.assertEqual(self.all(".count")[0].text, f"{len(shown)} of 400 samples")
        self.all(".samples th button")[2].click()
        self.assertEqual(len(self.column(6)), len(shown))
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(Keys.DELETE)
        self.assertEqual(len(self.column(6)), 400)

    def test_dark_and_print(self):
        self.open(self.common / "report.html", dark=True)
        back = "return getComputedStyle(document.body).backgroundColor"
        self.assertEqual(self.run_script(back), "rgb(21, 23, 26)")
        self.show(".figures")
        browser.picture(self.browser, "report-dark")
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
        self.assertEqual(self.run_script(back), "rgb(255, 255, 255)")
        self.assertFalse(self.all(".tools")[0].is_displayed())
        self.assertTrue(self.all("figure svg")[0].is_displayed())

    def test_labels(self):
        """Every control and every figure has a name."""
        self.open(self.common / "report.html")
        self.assertEqual(self.run_script(
            "return [...document.querySelectorAll('button, input, summary, svg')].filter(e => !(e.textContent.trim() || "
            "e.getAttribute('aria-label') || (e.labels && e.labels.length))).length"), 0)
        self.assertEqual(self.run_script("return document.querySelectorAll('th:not([scope])').length"), 0)
        self.assertEqual(self.run_script("return document.documentElement.lang"), "en")

    def test_hostile(self):
        """Nothing of the data runs, and nothing is asked of the network."""
        rows = [{"id": f"{i} {HOSTILE}", "prompt": f"{HOSTILE} {i}?", "response": f"<svg onload=alert(3)> {HOSTILE} {i}",
                 "label": i % 2, **({"spans": [[0, 6]]} if i % 2 else {})} for i in range(20)]
        run = self.dir / "a'b<script>.db"
        self.run_hbar("score", "--model", MODEL, "--data", self.write_rows("d.jsonl", rows), "--run", run, "--ctx-size", 512)
        self.run_hbar("report", run, "-s", "surprise", "-q")
        self.open(self.dir / "report.html")
        self.assertEqual(self.run_script("return document.scripts.length"), 1)
        self.assertEqual(self.run_script("return document.images.length"), 0)
        self.assertEqual(self.run_script("return performance.getEntriesByType('resource').length"), 0)
        self.assertEqual(self.run_script(
            "return [...document.querySelectorAll('*')].filter(e => e.getAttributeNames().some(n => n.startsWith('on'))).length"), 0)
        self.assertEqual(self.all(".count")[0].text, "20 of 20 samples")  # our own script runs
        self.assertTrue(self.all(".samples i"))
        self.no_errors()

    def test_answer(self):
        self.run_hbar("generate", "--model", DEMO, "--params", PARAMS, "--cutoff", 1, "--html", "answer.html", "-q",
                      "What is the capital of Cuba?")
        self.open(self.dir / "answer.html")
        browser.picture(self.browser, "report-answer")
        colours = {e.value_of_css_property("background-color") for e in self.all(".answer i")}
        self.assertTrue(colours and "rgba(0, 0, 0, 0)" not in colours)
        self.no_errors()


if __name__ == "__main__":
    unittest.main()
