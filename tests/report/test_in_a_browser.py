"""The page in headless Chromium: every figure is shown, nothing is asked of a network, nothing hangs over a phone's edge.

Needs Debian's chromium and chromium-driver; without them it is skipped, or fails where NAS_BROWSER_REQUIRED is set, as in .ci/run.
"""

import csv
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from example_run import write_example
from example_sweep import write_sweep

from nas_lightning.report import write_report, write_sweep_report
from nas_lightning.report.drawing import NARROW, WIDE

webdriver = pytest.importorskip("selenium.webdriver")
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

pytestmark = pytest.mark.slow

BROWSER, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
EVIL = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
PHONE, DESK = 360, 1280
SECONDS = (
    110  # less than Selenium waits for an answer; a busy machine draws slowly: one with five other processes on a core needed more than 60
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not (BROWSER and DRIVER):
        missing = "chromium or chromedriver is not installed"
        if os.environ.get("NAS_BROWSER_REQUIRED"):
            pytest.fail(missing)
        pytest.skip(missing)
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.set_page_load_timeout(SECONDS)
    driver.set_script_timeout(SECONDS)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = write_example(tmp_path_factory.mktemp("browser") / "run", names=[f"{EVIL}{number}" for number in range(60)])
    write_report(folder, points=3000)
    return (folder / "report.html").as_uri()


@pytest.fixture(scope="module")
def sweep_page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = write_sweep(tmp_path_factory.mktemp("browser") / "sweep", EVIL)
    write_sweep_report(folder)
    return (folder / "sweep.html").as_uri()


def set_width(browser: Any, width: int) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def load_all(browser: Any) -> None:
    loaded = "return [...document.querySelectorAll('.drawing img')].every((image) => image.complete && image.naturalWidth > 0)"
    WebDriverWait(browser, SECONDS).until(lambda driver: driver.execute_script(loaded))


def opened(browser: Any, page: str, width: int) -> Any:
    for log in ("browser", "performance"):
        browser.get_log(log)  # what came before
    set_width(browser, width)
    browser.get(page)
    load_all(browser)
    return browser


def count(browser: Any, selector: str) -> int:
    return int(browser.execute_script(f"return document.querySelectorAll({json.dumps(selector)}).length"))


def assert_nothing_hangs_over(browser: Any) -> None:
    assert browser.execute_script("return document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    over = (
        "return [...document.querySelectorAll('main *')].filter((one) => !one.closest('.scroll') && !one.closest('pre')"
        " && one.getBoundingClientRect().right > document.documentElement.clientWidth + 1).map((one) => one.outerHTML.slice(0, 200))"
    )
    assert browser.execute_script(over) == []


@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("which", ["page", "sweep_page"])
def test_every_figure_is_shown_quietly_within_the_page(which: str, width: int, browser: Any, request: pytest.FixtureRequest):
    address = request.getfixturevalue(which)
    opened(browser, address, width)
    assert count(browser, ".drawing img") == {"page": 7, "sweep_page": 3}[which]
    shown = browser.execute_script("return [...document.querySelectorAll('.drawing img')].map((image) => image.naturalWidth)")
    assert set(shown) == {3 * NARROW if width == PHONE else 2 * WIDE}
    assert_nothing_hangs_over(browser)
    assert_quiet(browser, address)
    assert browser.execute_script("return window.hacked === undefined")


def assert_quiet(browser: Any, page: str) -> None:
    """Nothing was said to the console or asked of a network."""
    assert [line["message"] for line in browser.get_log("browser")] == []
    asked = [json.loads(line["message"])["message"] for line in browser.get_log("performance")]
    addresses = [message["params"]["request"]["url"] for message in asked if message["method"] == "Network.requestWillBeSent"]
    assert [address for address in addresses if not address.startswith("data:")] == [page]


POINT = """
const panel = JSON.parse(document.getElementById(arguments[0] + '-data').textContent)[0];
const number = panel.texts.findIndex((text) => text.includes(arguments[1]));
const [left, top, width, height, x0, x1, y0, y1] = innerWidth < 720 ? panel.narrow : panel.wide;
document.getElementById(arguments[0]).scrollIntoView({block: 'center', behavior: 'instant'});
const box = document.getElementById(arguments[0]).getBoundingClientRect();
return [
  box.left + box.width * (left + width * (panel.x[number] - x0) / (x1 - x0)),
  box.top + box.height * (top + height * (y1 - panel.y[number]) / (y1 - y0)),
];
"""


def test_a_switch_shows_places_instead_of_values(browser: Any, page: str):
    opened(browser, page, DESK)
    shown = "return ['against_truth', 'ranks'].map((name) => document.getElementById(name).getBoundingClientRect().height > 0)"
    assert browser.execute_script(shown) == [True, False]
    browser.find_element("css selector", "label[for=see-ranks]").click()
    assert browser.execute_script(shown) == [False, True]


def test_the_best_are_sorted_copied_and_saved(browser: Any, page: str, tmp_path: Path):
    opened(browser, page, DESK)
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    column = "return [...document.querySelectorAll('[data-file] tbody tr')].map((row) => row.cells[0].textContent)"
    ranks = [str(place) for place in range(1, 31)]
    assert browser.execute_script(column) == ranks
    head = browser.find_element("css selector", "[data-file] th button")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", head)
    head.click()
    head.click()
    assert browser.execute_script(column) == ranks[::-1]
    copy, save = browser.find_elements("css selector", ".tools button")
    copy.click()
    assert copy.text == "Copied"
    save.click()
    WebDriverWait(browser, SECONDS).until(lambda _: (tmp_path / "best.csv").is_file())
    with (tmp_path / "best.csv").open(newline="") as file:
        first, *rows = csv.reader(file)
    assert first[:3] == ["#", "name", "architecture"]
    assert [row[0] for row in rows] == ranks[::-1]
    assert all(row[1].startswith(EVIL) and set(row[2]) <= set("0123456789-") for row in rows)


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_a_name_that_is_a_script_is_shown_under_the_pointer_and_not_run(width: int, browser: Any, page: str):
    opened(browser, page, width)
    x, y = browser.execute_script(POINT, "against_truth", "</script>")
    browser.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": "mouseMoved", "x": x + 1, "y": y + 1})
    shown = "const tip = document.querySelector('#against_truth .tip'); return tip.hidden ? '' : tip.textContent"
    WebDriverWait(browser, SECONDS).until(lambda driver: driver.execute_script(shown))
    text = browser.execute_script(shown)
    assert EVIL[:30] in text
    assert "multiply-adds" in text
    assert_nothing_hangs_over(browser)
    browser.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": "mouseMoved", "x": 1, "y": 1})
    WebDriverWait(browser, SECONDS).until(lambda driver: not driver.execute_script(shown))
    assert browser.execute_script("return window.hacked === undefined")
    assert EVIL in browser.execute_script("return document.querySelector('main').textContent")
