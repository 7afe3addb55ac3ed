"""The server's page in headless Chromium. Skips without chromium, chromium-driver and python3-selenium."""
import time
import unittest

import browser
from harness import Case
from server import DEMO, PARAMS, Server

if not browser.MISSING:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys
CUBA, FRANCE = "What is the capital of Cuba?", "What is the capital of France?"


@unittest.skipIf(browser.MISSING, f"the page is not tested: {browser.MISSING} is missing")
class Page(Case):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--model", DEMO, "--params", PARAMS, "--threads", 2)
        cls.addClassCleanup(cls.server.stop)

    def open(self, dark=False):
        self.browser = browser.open_browser(self, dark)
        self.browser.get(f"http://127.0.0.1:{self.server.port}/")
        self.wait(lambda: "calibrated by" in self.one("#rule").text)
        return self.browser

    def one(self, selector):
        return self.browser.find_element("css selector", selector)

    def all(self, selector):
        return self.browser.find_elements("css selector", selector)

    def wait(self, condition):
        end = time.monotonic() + 60
        while not condition():
            self.assertLess(time.monotonic(), end, "the page did not get there: " + self.one("#status").text)
            time.sleep(0.05)

    def ask(self, text):
        self.one("#question").send_keys(text + Keys.ENTER)  # by keyboard alone
        self.wait(lambda: self.one("#send").is_enabled() and self.one("#status").text not in ("", "The model answers."))

    def slide(self, value):
        self.browser.execute_script("const c = document.getElementById('cutoff'); c.value = arguments[0];"
                                    "c.dispatchEvent(new Event('input'))", value)

    def picture(self, name):
        browser.picture(self.browser, name)

    def visible(self):
        return "".join(t.text for t in self.all(".model .token") if t.is_displayed())

    def test_answers(self):
        self.open()
        self.ask(FRANCE)
        self.assertEqual(self.visible().strip(), "Paris")
        self.assertTrue(self.one(".verdict").text.startswith("Not risky: P_fail of the answer"))
        self.assertFalse(self.one("button.show").is_displayed())
        self.ask(CUBA)
        answer = self.all(".turn.model")[1]
        self.assertRegex(answer.text, r"halted at token \d+: P_fail \d+\.\d %\]")
        self.assertIn("Risky: ", answer.text)
        show = answer.find_element("css selector", "button.show")
        self.picture("server-halted")
        show.send_keys(Keys.ENTER)
        tokens = [t for t in answer.find_elements("css selector", ".token") if t.is_displayed()]
        self.assertGreater(len(tokens), 1)
        self.assertTrue(all("P_fail" in t.get_attribute("aria-label") for t in tokens))
        self.assertNotEqual(tokens[0].value_of_css_property("background-color"), "rgba(0, 0, 0, 0)")
        self.browser.execute_script("arguments[0].focus()", tokens[0])
        self.assertIn("entropy", self.one("#detail").text)
        self.assertIn("alternatives", self.one("#detail").text)
        ActionChains(self.browser).move_to_element(tokens[1]).perform()
        self.picture("server-shown")
        self.assertEqual([e for e in self.browser.get_log("browser") if e["level"] == "SEVERE"], [])

    def test_slider(self):
        """The cutoff shows where the answer would have been halted, without asking the model again."""
        self.open()
        self.ask(CUBA)
        before = self.server.metric("answers_total")
        halted = self.visible()
        self.slide(1.01)
        whole = self.visible()
        self.assertGreater(len(whole), len(halted))
        self.assertEqual(self.one("#cut").text, "never")
        self.slide(0.01)
        self.assertEqual(self.visible(), "")
        self.assertIn("halted at token 1", self.one(".turn.model").text)
        self.assertEqual(self.server.metric("answers_total"), before)

    def test_ask_again(self):
        self.open()
        self.ask(CUBA)
        self.one("button.ask").click()
        self.wait(lambda: self.all(".again li"))
        shares = [int(li.text.split(" of ")[0]) for li in self.all(".again li")]
        self.assertEqual(sum(shares), 5)
        self.assertEqual(shares, sorted(shares, reverse=True))
        self.picture("server-again")

    def test_dark(self):
        self.open(dark=True)
        self.ask(CUBA)
        back = self.one("body").value_of_css_property("background-color")
        self.assertEqual(back, "rgba(21, 23, 26, 1)")
        self.picture("server-dark")

    def test_needs_nothing_from_elsewhere(self):
        chromium = self.open()
        self.ask(FRANCE)
        names = chromium.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
        self.assertTrue(all(name.startswith(f"http://127.0.0.1:{self.server.port}/") for name in names), names)

    def test_labels(self):
        """Every control has a name, and every one can be reached by the keyboard."""
        chromium = self.open()
        self.ask(CUBA)
        unnamed = chromium.execute_script(
            "return [...document.querySelectorAll('button, input, textarea')].filter(e => !(e.textContent.trim() || "
            "e.getAttribute('aria-label') || (e.labels && e.labels.length))).length")
        self.assertEqual(unnamed, 0)
        reached = set()
        self.one("#question").send_keys(Keys.SHIFT, Keys.TAB)
        for _ in range(12):
            reached.add(chromium.execute_script("return document.activeElement.id || document.activeElement.className"))
            ActionChains(chromium).key_down(Keys.SHIFT).send_keys(Keys.TAB).key_up(Keys.SHIFT).perform()
        self.assertLessEqual({"cutoff", "limit", "clear", "show", "ask"}, reached)


if __name__ == "__main__":
    unittest.main()
