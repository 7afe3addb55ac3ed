"""Headless Chromium for tests of pages. MISSING says what is not installed; None: nothing."""
import os
import shutil

try:
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service
    MISSING = None
except ImportError:
    MISSING = "python3-selenium"
DRIVER, BROWSER = shutil.which("chromedriver"), shutil.which("chromium")
if not MISSING and not (DRIVER and BROWSER):
    MISSING = "chromium and chromium-driver"
PICTURES = os.environ.get("HBAR_PICTURES")  # a folder for screenshots of the documentation


def open_browser(case, dark=False, size=(900, 760)):
    """A browser that closes with the test."""
    options = Options()
    options.binary_location = BROWSER
    for argument in ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     f"--window-size={size[0]},{size[1]}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(service=Service(DRIVER), options=options)
    case.addCleanup(browser.quit)
    browser.set_page_load_timeout(60)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia",
                            {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})
    return browser


def picture(browser, name):
    """Saves a screenshot if the documentation's pictures are wanted."""
    if PICTURES:
        browser.save_screenshot(os.path.join(PICTURES, name + ".png"))
