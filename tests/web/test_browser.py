"""The pages in a real browser: Debian's Chromium, driven over WebDriver."""

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.expected_conditions import staleness_of
from selenium.webdriver.support.ui import WebDriverWait

from smtpcheck.web import create_app, serve
from tests.real.daemon import real_binary
from tests.web.world import NOW, World, ok_report

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
WIDTHS = (400, 800, 1400)
SECONDS = 10


@contextmanager
def _browser(profile: Path, *, script: bool = True) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = real_binary("chromium")
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(real_binary("chromedriver")))
    try:
        if not script:
            driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
        yield driver
    finally:
        driver.quit()


@pytest.fixture(scope="module")
def with_script(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with _browser(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture
def browser(with_script: webdriver.Chrome) -> webdriver.Chrome:
    with_script.get_log("browser")  # type: ignore[no-untyped-call]
    with_script.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    _resize(with_script, 1400)
    return with_script


@pytest.fixture(scope="module")
def without_script(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with _browser(tmp_path_factory.mktemp("profile"), script=False) as driver:
        yield driver


@pytest.fixture
def address(world: World) -> Iterator[str]:
    """Serve the world from a thread of its own, for WebDriver blocks."""
    loop, started, bound = asyncio.new_event_loop(), threading.Event(), list[int]()
    stop = asyncio.Event()

    async def run() -> None:
        async with serve(create_app(world, clock=lambda: NOW), ("127.0.0.1", 0)) as (_, port):
            bound.append(port)
            started.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    started.wait(SECONDS)
    yield f"http://127.0.0.1:{bound[0]}"
    loop.call_soon_threadsafe(stop.set)
    thread.join(SECONDS)
    loop.close()


def _resize(browser: webdriver.Chrome, width: int) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def _until(browser: webdriver.Chrome, holds: Callable[[webdriver.Chrome], bool]) -> None:
    """Wait until something holds; a part of the page may be replaced meanwhile."""
    WebDriverWait(browser, SECONDS, ignored_exceptions=[StaleElementReferenceException]).until(holds)


def _follow(browser: webdriver.Chrome, how: str, what: str) -> None:
    """Click what leads to another page, and wait until that page is whole."""
    page = browser.find_element(By.TAG_NAME, "html")
    browser.find_element(how, what).click()
    # Asked while the page changes, chromedriver may not know yet whether an element is stale.
    WebDriverWait(browser, SECONDS, ignored_exceptions=[WebDriverException]).until(staleness_of(page))
    _until(browser, lambda b: bool(b.find_elements(By.CSS_SELECTOR, "footer a")))


def _names(browser: webdriver.Chrome) -> list[str]:
    return [link.text for link in browser.find_elements(By.CSS_SELECTOR, ".checks tbody .c-name a")]


def _complaints(browser: webdriver.Chrome) -> list[Any]:
    """Return what the console holds: a violation of the policy, an error of the script, a file that is missing."""
    return [entry["message"] for entry in browser.get_log("browser")]  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("path", ["/", "/checks/billing", "/checks/orders", "/checks/scanner", "/?q=nothing"])
def test_the_browser_has_nothing_to_complain_of(browser: webdriver.Chrome, address: str, path: str) -> None:
    """No violation of the policy, no error; and no page is wider than the window."""
    browser.get(address + path)
    overflow = []
    for width in WIDTHS:
        _resize(browser, width)
        if browser.execute_script("return document.documentElement.scrollWidth > innerWidth"):
            overflow.append(width)
    assert (_complaints(browser), overflow) == ([], [])


def test_a_violation_would_be_seen(browser: webdriver.Chrome, address: str) -> None:
    """The policy is in force: what is inline is blocked, and the console tells."""
    browser.get(address + "/")
    browser.execute_script("document.body.insertAdjacentHTML('beforeend', '<p style=\"color:red\">x</p>')")
    assert any("Content Security Policy" in message for message in _complaints(browser))


@pytest.mark.parametrize("path", ["/?refresh=off", "/checks/billing?refresh=off"])
def test_the_keyboard_reaches_everything(browser: webdriver.Chrome, address: str, path: str) -> None:
    """Tab visits every link, field, button and fold, in the order of the page, each visibly."""
    browser.get(address + path)
    expected = browser.execute_script(
        "window.all = [...document.querySelectorAll('a[href], input:not([type=hidden]), select, button, summary, "
        '[tabindex="0"]\')].filter((e) => e.checkVisibility()); return window.all.length'
    )
    body = browser.find_element(By.TAG_NAME, "body")
    visited: list[int] = []
    outlined: list[str] = []
    for _ in range(expected):
        (browser.switch_to.active_element if visited else body).send_keys(Keys.TAB)
        visited.append(browser.execute_script("return window.all.indexOf(document.activeElement)"))
        outlined.append(browser.execute_script("return getComputedStyle(document.activeElement).outlineStyle"))
    assert visited == list(range(expected))
    assert set(outlined) == {"solid"}


def test_the_skip_link_leads_to_the_content(browser: webdriver.Chrome, address: str) -> None:
    browser.get(address + "/")
    browser.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert browser.switch_to.active_element.get_attribute("id") == "main"


def test_filter_order_and_button_work_without_script(
    without_script: webdriver.Chrome, address: str, world: World
) -> None:
    browser = without_script
    _resize(browser, 1400)
    browser.get(address + "/")
    browser.find_element(By.NAME, "q").send_keys("ord")
    browser.find_element(By.CSS_SELECTOR, "select[name=outcome] option[value=critical]").click()
    _follow(browser, By.CSS_SELECTOR, ".filter button")
    filtered = _names(browser)
    _follow(browser, By.LINK_TEXT, "Clear")
    _follow(browser, By.ID, "sort-name")
    _follow(browser, By.ID, "sort-name")
    ordered = _names(browser)
    _follow(browser, By.LINK_TEXT, "scanner")
    _follow(browser, By.XPATH, "//button[text()='Check now']")
    notice = browser.find_element(By.CSS_SELECTOR, "[role=status]:not(#stale)").text
    status = browser.find_element(By.CSS_SELECTOR, ".head .status").text
    assert filtered == ["orders"]
    assert ordered == ["scanner", "printer-3rd-floor", "orders", "newsletter", "invoices", "billing"]
    assert (world.asked, notice, status) == (["scanner"], "Checked just now.", "OK")


def test_a_narrow_window_orders_by_a_field(without_script: webdriver.Chrome, address: str) -> None:
    """Where the heads of the columns have no room, a field of the form takes their part."""
    browser = without_script
    _resize(browser, 400)
    browser.get(address + "/")
    browser.find_element(By.CSS_SELECTOR, "select[name=sort] option[value='-name']").click()
    _follow(browser, By.CSS_SELECTOR, ".filter button")
    assert _names(browser)[:2] == ["scanner", "printer-3rd-floor"]


def test_check_now_works_with_script_as_well(browser: webdriver.Chrome, address: str, world: World) -> None:
    browser.get(address + "/checks/billing")
    browser.find_element(By.XPATH, "//button[text()='Check now']").send_keys(Keys.ENTER)
    _until(browser, lambda b: "Checked just now." in b.find_element(By.TAG_NAME, "main").text)
    _until(browser, lambda b: b.current_url.endswith("/checks/billing"))
    assert (world.asked, _complaints(browser)) == (["billing"], [])


def test_a_refresh_brings_what_is_new_and_takes_nothing_away(
    browser: webdriver.Chrome, address: str, world: World
) -> None:
    """What is typed stays, the focus stays, what is unfolded stays; outcome and title follow the agent."""
    browser.get(address + "/")
    browser.find_element(By.NAME, "q").send_keys("contoso")
    _until(browser, lambda b: b.current_url.endswith("?q=contoso"))
    browser.execute_script("document.getElementById('sort-name').focus()")
    world.record(
        structs.replace(ok_report("billing"), started_at=NOW), structs.replace(ok_report("orders"), started_at=NOW)
    )
    title = browser.title
    browser.execute_script("document.dispatchEvent(new Event('visibilitychange'))")
    _until(browser, lambda b: b.title != title)
    field = browser.find_element(By.NAME, "q").get_property("value")
    focused = browser.switch_to.active_element.get_attribute("id")
    tally = browser.find_element(By.CSS_SELECTOR, ".tally").text.split()
    assert (title, browser.title) == ("4 problems · smtpcheck", "2 problems · smtpcheck")
    assert (field, focused, tally[tally.index("Critical") + 1]) == ("contoso", "sort-name", "0")
    assert _complaints(browser) == []


def test_the_list_narrows_as_one_types_and_slash_goes_there(browser: webdriver.Chrome, address: str) -> None:
    browser.get(address + "/")
    browser.find_element(By.TAG_NAME, "body").send_keys("/")
    field = browser.switch_to.active_element
    assert field.get_attribute("name") == "q"
    field.send_keys("ord/")
    _until(browser, lambda b: b.current_url.endswith("?q=ord%2F"))
    field.send_keys(Keys.BACKSPACE)
    _until(browser, lambda b: _names(b) == ["orders"])
    assert browser.switch_to.active_element.get_property("value") == "ord"
    assert _complaints(browser) == []


def test_the_icon_has_the_colour_of_the_worst(browser: webdriver.Chrome, address: str, world: World) -> None:
    browser.get(address + "/")
    icon = browser.find_element(By.CSS_SELECTOR, "link[rel=icon]")
    assert "icon-critical.svg" in str(icon.get_attribute("href"))
    for name in ("billing", "orders", "printer-3rd-floor"):
        world.record(structs.replace(ok_report(name), started_at=NOW))
    browser.execute_script("document.dispatchEvent(new Event('visibilitychange'))")
    _until(browser, lambda b: "icon-warning.svg" in b.execute_script("return arguments[0].href", icon))


def test_the_ticket_can_be_copied(browser: webdriver.Chrome, address: str) -> None:
    browser.get(address + "/checks/billing")
    browser.find_element(By.CSS_SELECTOR, "#ticket-fold summary").send_keys(Keys.ENTER)
    text = str(browser.find_element(By.ID, "ticket").get_property("value"))
    assert text.startswith("Check billing: critical\n")
    assert "Reply: 535 5.7.139" in text
    assert "\nFix 1: " in text
    button = browser.find_element(By.CSS_SELECTOR, "button[data-copies]")
    button.click()
    _until(browser, lambda _: button.text in {"Copied", "Press Ctrl+C to copy"})


def test_a_page_that_gets_no_answer_says_so_at_every_width(browser: webdriver.Chrome, address: str) -> None:
    _resize(browser, 400)
    browser.get(address + "/")
    browser.execute_script("window.fetch = () => Promise.reject(new Error('gone'))")
    browser.execute_script("document.dispatchEvent(new Event('visibilitychange'))")
    _until(browser, lambda b: b.find_element(By.ID, "stale").is_displayed())
    assert browser.find_element(By.ID, "stale").text.startswith("No answer since ")


def test_times_are_those_of_the_reader_with_utc_beside(browser: webdriver.Chrome, address: str) -> None:
    browser.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "Europe/Berlin"})
    try:
        browser.get(address + "/")
        clock = browser.find_element(By.CSS_SELECTOR, "#live-clock time")
        assert re.search(r"7:46:40.*\(17:46:40 UTC\)", clock.text)
        assert "UTC" in str(browser.find_element(By.CSS_SELECTOR, ".c-last time").get_attribute("title"))
    finally:
        browser.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": ""})


def test_what_is_unfolded_stays_unfolded(browser: webdriver.Chrome, address: str, world: World) -> None:
    browser.get(address + "/checks/billing")
    browser.find_element(By.CSS_SELECTOR, "summary").send_keys(Keys.ENTER)
    world.record(structs.replace(world.state.checks["billing"].report, started_at=NOW))
    browser.execute_script("document.dispatchEvent(new Event('visibilitychange'))")
    _until(browser, lambda b: "60" in b.find_element(By.ID, "history-head").text)
    assert browser.find_element(By.CSS_SELECTOR, "details").get_attribute("open") is not None


_CONTRAST = r"""
const channel = (x) => x / 255 <= .03928 ? x / 255 / 12.92 : ((x / 255 + .055) / 1.055) ** 2.4;
const light = ([r, g, b]) => .2126 * channel(r) + .7152 * channel(g) + .0722 * channel(b);
const numbers = (text) => text.match(/[\d.]+/g).map(Number);
const ground = (element) => {
  const colour = numbers(getComputedStyle(element).backgroundColor);
  return colour[3] === 0 ? ground(element.parentElement) : colour;
};
const hasText = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
const weak = [];
for (const element of document.querySelectorAll("body *")) {
  if (!hasText(element) || !element.checkVisibility() || element.closest("svg, .hidden")) continue;
  const [low, high] = [light(numbers(getComputedStyle(element).color)), light(ground(element))].sort((a, b) => a - b);
  const ratio = (high + .05) / (low + .05);
  if (ratio < 4.5) weak.push(`${element.tagName} ${element.className} ${ratio.toFixed(2)}`);
}
return weak;
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/", "/checks/billing", "/checks/orders"])
def test_text_is_readable_in_light_and_dark(browser: webdriver.Chrome, address: str, path: str, scheme: str) -> None:
    """The contrast of all text is that of WCAG 2.2 AA (1.4.3), on a ground that follows the system's scheme."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get(address + path)
    ground = browser.find_element(By.TAG_NAME, "body").value_of_css_property("background-color")
    assert browser.execute_script(_CONTRAST) == []
    assert ground == {"light": "rgba(247, 248, 249, 1)", "dark": "rgba(15, 17, 20, 1)"}[scheme]
