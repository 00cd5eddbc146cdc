"""The pages of a check's past in a real browser."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from smtpcheck.diagnosis.catalogue import Catalogue
from smtpcheck.web import create_app, serve
from tests.web.history_world import world_with_a_past
from tests.web.test_browser import _CONTRAST, SECONDS, WIDTHS, _complaints, _follow, _resize, browser, with_script
from tests.web.world import NOW

__all__ = ["browser", "with_script"]

PATHS = (
    "/checks/billing/history",
    "/checks/billing/history?days=7",
    "/checks/scanner/history",
    f"/checks/billing/failures/{int(NOW - 45)}",
)


@pytest.fixture(scope="module")
def address(catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve a world with a past from a thread of its own, for WebDriver blocks."""
    loop, started, bound = asyncio.new_event_loop(), threading.Event(), list[int]()
    stop = asyncio.Event()

    async def run() -> None:
        world = await world_with_a_past(catalogue, Path(tmp_path_factory.mktemp("state")))
        async with serve(create_app(world, clock=lambda: NOW), ("127.0.0.1", 0)) as (_, port):
            bound.append(port)
            started.set()
            await stop.wait()
        await world.state.close()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    started.wait(SECONDS)
    yield f"http://127.0.0.1:{bound[0]}"
    loop.call_soon_threadsafe(stop.set)
    thread.join(SECONDS)
    loop.close()


@pytest.mark.parametrize("path", PATHS)
def test_the_browser_has_nothing_to_complain_of(browser: webdriver.Chrome, address: str, path: str) -> None:
    """No violation of the policy, no error; and no page is wider than the window, unfolded either."""
    browser.get(address + path)
    for fold in browser.find_elements(By.CSS_SELECTOR, "details#days > summary"):
        fold.click()
    overflow = []
    for width in WIDTHS:
        _resize(browser, width)
        if browser.execute_script("return document.documentElement.scrollWidth > innerWidth"):
            overflow.append(width)
    assert (_complaints(browser), overflow) == ([], [])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PATHS)
def test_text_is_readable_in_light_and_dark(browser: webdriver.Chrome, address: str, path: str, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get(address + path)
    assert browser.execute_script(_CONTRAST) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_failed_can_be_seen_without_colour(browser: webdriver.Chrome, address: str, scheme: str) -> None:
    """A day with failures is lower than the others and has a mark, which stands out from the ground (WCAG 1.4.11)."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get(address + "/checks/billing/history")
    whole, partly, marks = (
        browser.find_elements(By.CSS_SELECTOR, f".plot.availability .{kind}") for kind in ("whole", "partly", "failed")
    )
    assert {bar.rect["height"] for bar in whole} == {max(bar.rect["height"] for bar in whole)}
    assert all(bar.rect["height"] < whole[0].rect["height"] for bar in partly)
    assert (len(whole), len(partly), len(marks)) == (85, 4, 4)
    assert all(mark.rect["width"] >= 3 for mark in marks)


def test_every_drawing_has_a_text(browser: webdriver.Chrome, address: str) -> None:
    """What a screen reader says of each drawing names what it shows, and the numbers are in a table."""
    browser.get(address + "/checks/billing/history")
    names = [each.accessible_name for each in browser.find_elements(By.CSS_SELECTOR, "svg[role=img]")]
    assert [name.split(",")[0] for name in names] == ["Availability by day", "Duration of a run by day"]
    table = browser.find_element(By.CSS_SELECTOR, "table.outages")
    assert (table.aria_role, table.accessible_name.split()[0]) == ("table", "Outages")
    _resize(browser, 400)
    assert table.aria_role == "table"


def test_the_keyboard_leads_from_a_check_to_a_failure_of_then(browser: webdriver.Chrome, address: str) -> None:
    browser.get(address + "/checks/billing?refresh=off")
    browser.find_element(By.PARTIAL_LINK_TEXT, "90 days").send_keys(Keys.ENTER)
    _follow(browser, By.LINK_TEXT, "7 days")
    assert browser.find_element(By.CSS_SELECTOR, ".past-range [aria-current]").text == "7 days"
    _follow(browser, By.CSS_SELECTOR, ".outages .report a")
    assert browser.title == "billing: failure of 2026-10-14 13:45:55 UTC · smtpcheck"
    _follow(browser, By.LINK_TEXT, "History")
    assert browser.title == "billing: history · smtpcheck"
