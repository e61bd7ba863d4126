"""The page in headless Chromium: every figure is drawn, nothing is asked of a network, nothing hangs over a phone's edge.

Needs Debian's chromium and chromium-driver; without them it is skipped, or fails where NAS_BROWSER_REQUIRED is set, as in .ci/run.
"""

import json
import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from example_run import write_example
from example_sweep import write_sweep

from nas_lightning.report import write_report, write_sweep_report

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


def draw_all(browser: Any) -> None:
    """Scrolls through the page, as a reader does: figures are drawn when they come near."""
    not_drawn = "[...document.querySelectorAll('.drawing')].filter((place) => !place.querySelector('.main-svg .subplot'))"
    scrolled = f"const left = {not_drawn}; left.forEach((place) => place.scrollIntoView()); return left.length === 0"
    WebDriverWait(browser, SECONDS).until(lambda driver: driver.execute_script(scrolled))


def opened(browser: Any, page: str, width: int) -> Any:
    for log in ("browser", "performance"):
        browser.get_log(log)  # what came before
    set_width(browser, width)
    browser.get(page)
    draw_all(browser)
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
def test_every_figure_is_drawn_quietly_within_the_page(browser: Any, page: str, width: int):
    opened(browser, page, width)
    drawn = {name: count(browser, f"#{name} .scatterlayer .point") for name in ("against_truth", "ranks", "costs", "baselines")}
    front = browser.execute_script("return document.getElementById('costs').data[1].x.length")
    assert drawn == {"against_truth": 40, "ranks": 40, "costs": 60, "baselines": 18}
    assert front > 1
    assert count(browser, "#widths .heatmaplayer image") == 1
    assert count(browser, "#training .scatterlayer .js-line") == 7 * 2  # curves in two stages
    assert_nothing_hangs_over(browser)
    assert_quiet(browser, page)


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_every_figure_of_a_sweep_is_drawn_quietly_within_the_page(browser: Any, sweep_page: str, width: int):
    opened(browser, sweep_page, width)
    for effect in ("effect_1", "effect_2"):
        assert count(browser, f"#{effect} .scatterlayer .point") == 11 + 2  # jobs with a result, means
    assert count(browser, "#curves .scatterlayer .trace") == 12 * 3  # jobs in three strips
    assert count(browser, "#curves .legend .traces") == 4
    assert_nothing_hangs_over(browser)
    assert_quiet(browser, sweep_page)
    assert browser.execute_script("return window.hacked === undefined")


def assert_quiet(browser: Any, page: str) -> None:
    """Nothing was said to the console or asked of a network."""
    assert [line["message"] for line in browser.get_log("browser")] == []
    asked = [json.loads(line["message"])["message"] for line in browser.get_log("performance")]
    addresses = [one["params"]["request"]["url"] for one in asked if one["method"] == "Network.requestWillBeSent"]
    assert [address for address in addresses if not address.startswith(("data:", "blob:"))] == [page]


def test_the_figures_arrange_themselves_anew_when_a_window_changes_its_width(browser: Any, page: str):
    opened(browser, page, DESK)
    titles = "return [...document.querySelectorAll('#baselines .infolayer [class^=g-x]')].map((one) => one.getBoundingClientRect().top)"
    assert len(set(browser.execute_script(titles))) == 1
    set_width(browser, PHONE)
    WebDriverWait(browser, SECONDS).until(lambda driver: len(set(driver.execute_script(titles))) == 3)
    assert count(browser, "#widths .colorbar") == 1
    assert_nothing_hangs_over(browser)
    set_width(browser, DESK)
    WebDriverWait(browser, SECONDS).until(lambda driver: len(set(driver.execute_script(titles))) == 1)
    assert count(browser, "#widths .colorbar") == 1
    assert_nothing_hangs_over(browser)


def test_a_name_that_is_a_script_is_shown_on_hovering_and_not_run(browser: Any, page: str):
    opened(browser, page, DESK)
    place = browser.execute_script(
        "const data = document.getElementById('against_truth').data;"
        "const curve = data.findIndex((one) => one.text.some((text) => text.includes('&lt;/script&gt;')));"
        "const point = data[curve].text.findIndex((text) => text.includes('&lt;/script&gt;'));"
        "Plotly.Fx.hover('against_truth', [{curveNumber: curve, pointNumber: point}]); return [curve, point]"
    )
    assert min(place) >= 0
    shown = "return document.querySelector('#against_truth .hoverlayer').textContent"
    WebDriverWait(browser, SECONDS).until(lambda driver: driver.execute_script(shown))
    text = browser.execute_script(shown)
    assert EVIL[:30] in text
    assert "multiply-adds" in text
    assert browser.execute_script("return window.hacked === undefined")
    assert EVIL in browser.execute_script("return document.querySelector('main').textContent")
