"""The pages by the rules of axe-core (https://github.com/dequelabs/axe-core), in light and dark, wide and narrow."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from smtpcheck.alerts.silence import Silence
from tests.real.daemon import real_binary
from tests.web.test_browser import _resize, address, browser, with_script
from tests.web.world import NOW, World

__all__ = ["address", "browser", "with_script"]

_SOURCE = Path(__file__).parent / "axe"
_INSTALL_SECONDS = 300
_RUN = """
const done = arguments[arguments.length - 1];
const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
axe.run(document, { runOnly: tags }).then(
  (found) => done(found.violations.map((each) => [each.id, each.nodes.map((node) => node.html.slice(0, 200))])),
  (error) => done([["error", [String(error)]]]),
);
"""
_TOO_WIDE = """
return [...document.querySelectorAll("body *")]
  .filter((each) => each.getBoundingClientRect().right > window.innerWidth && !each.closest(".hidden, .scroll"))
  .map((each) => each.outerHTML.slice(0, 120));
"""
PATHS = ("/", "/?q=nothing+like+it", "/checks/billing", "/checks/orders", "/checks/scanner", "/checks/nowhere")


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("axe")
    for source in _SOURCE.iterdir():
        shutil.copy(source, folder)
    command = [real_binary("npm"), "ci", "--no-audit", "--no-fund", "--prefer-offline", "--prefix", str(folder)]
    subprocess.run(command, check=True, capture_output=True, cwd=folder, timeout=_INSTALL_SECONDS)
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()


@pytest.fixture
def silenced(address: str, world: World) -> str:
    """The address of a world in which one check is silenced."""
    silence = Silence("", NOW - 1, NOW + 60, checks=("orders",), comment="migration", author="anna")
    world.alerting.silences.add(silence, until_repaired=False)
    return address


def violations(browser: webdriver.Chrome, axe: str) -> Any:
    browser.execute_cdp_cmd("Page.setBypassCSP", {"enabled": True})
    browser.execute_script(axe)
    return browser.execute_async_script(_RUN)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 320])
def test_no_rule_is_broken(browser: webdriver.Chrome, silenced: str, axe: str, width: int, scheme: str) -> None:
    _in(browser, scheme)
    _resize(browser, width)
    for path in PATHS:
        browser.get(silenced + path)
        for fold in browser.find_elements(By.CSS_SELECTOR, "main details:not([open]) > summary"):
            if fold.is_displayed():
                fold.send_keys(Keys.ENTER)
        assert violations(browser, axe) == [], path
        overflow = browser.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
        assert overflow <= 0, browser.execute_script(_TOO_WIDE)


def _in(browser: webdriver.Chrome, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def test_a_broken_rule_is_found(browser: webdriver.Chrome, address: str, axe: str) -> None:
    browser.get(address + "/")
    browser.execute_script(
        "document.querySelector('input[type=search]').closest('label').replaceWith(document.createElement('input'))"
    )
    assert "label" in [name for name, _ in violations(browser, axe)]


_BORDERS = r"""
const channel = (x) => x / 255 <= .03928 ? x / 255 / 12.92 : ((x / 255 + .055) / 1.055) ** 2.4;
const light = ([r, g, b]) => .2126 * channel(r) + .7152 * channel(g) + .0722 * channel(b);
const numbers = (text) => text.match(/[\d.]+/g).map(Number);
const ground = (element) => {
  const colour = numbers(getComputedStyle(element).backgroundColor);
  return colour[3] === 0 ? ground(element.parentElement) : colour;
};
const weak = [];
const compare = (element, colour, what) => {
  const [low, high] = [light(numbers(colour)), light(ground(element.parentElement))].sort((a, b) => a - b);
  const ratio = (high + .05) / (low + .05);
  if (ratio < 3) weak.push(`${what} ${element.outerHTML.slice(0, 80)} ${ratio.toFixed(2)}`);
};
for (const field of document.querySelectorAll("input:not([type=hidden]), select, textarea, button:not(.first)"))
  if (field.checkVisibility()) compare(field, getComputedStyle(field).borderTopColor, "border");
for (const shape of document.querySelectorAll(".strip path, .c-bar rect, .chart .column"))
  compare(shape.closest("svg"), getComputedStyle(shape).fill, "shape");
const probe = document.body.appendChild(document.createElement("i"));
for (const icon of document.querySelectorAll("main .icon")) {
  probe.style.color = getComputedStyle(icon).getPropertyValue("--fill");
  compare(icon, getComputedStyle(probe).color, "icon");
}
return weak;
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/", "/checks/billing", "/checks/orders"])
def test_borders_icons_and_bars_stand_out(browser: webdriver.Chrome, address: str, path: str, scheme: str) -> None:
    """By WCAG 2.2 AA (1.4.11) their contrast is at least 3:1."""
    _in(browser, scheme)
    browser.get(address + path)
    assert browser.execute_script(_BORDERS) == []
