"""A whole Airflow, an emulator of OceanBase Cloud and a browser; a failure saves a picture and the log."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from harness.debian import program
from harness.network import fetch
from harness.processes import Processes
from harness.settings import (
    AIRFLOW,
    EXAMPLE_DAGS,
    base_settings,
    clean_environ,
    hasten_tasks,
    standalone_settings,
)
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect, sync_playwright

from airflow_provider_oceanbase.testing import CloudEmulator

#: A failure saves its picture and Airflow's log here.
RESULTS = Path("test-results")
BROWSER_FLAGS = (
    "--no-sandbox",
    "--no-proxy-server",
    "--no-first-run",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
#: Long enough for a busy machine; nothing waits longer than necessary.
BROWSER_SECONDS = 60
VIEWPORT: ViewportSize = {"width": 1280, "height": 640}


@dataclass
class Airflow:
    """A running ``airflow standalone``.

    :param url: of its UI and API
    :param processes: it and all its child processes
    """

    url: str
    processes: Processes

    def wait_for(self, what: str, path: str, is_so: Callable[[bytes], bool]) -> None:
        """Poll the API until a response meets a condition."""

        def condition() -> bool:
            answer = fetch(f"{self.url}/api/v2/{path}")
            return answer is not None and is_so(answer)

        self.processes.wait_for(what, 180, condition)


@dataclass
class Camera:
    """Takes pictures of the page, if ``--screenshots`` is given.

    :param page: the page
    :param folder: where the pictures go, None for none
    """

    page: Page
    folder: Path | None

    def take(self, name: str, *, height: int = VIEWPORT["height"], part: Locator | None = None) -> None:
        """Take a picture of the page, or of a part of it, in a window of that height in pixels."""
        if self.folder is None:
            return
        path = self.folder / f"{name}.png"
        window = self.page.viewport_size or VIEWPORT
        self.page.set_viewport_size({**window, "height": height})
        (part or self.page).screenshot(path=path, animations="disabled", caret="hide")
        self.page.set_viewport_size(window)
        with Image.open(path) as picture:
            # A palette reduces the size to a third.
            small = picture.convert("RGB").quantize(dither=Image.Dither.NONE)
        small.save(path, optimize=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", type=Path, metavar="FOLDER", help="write the pictures of the UI there")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """When a test fails, save the page and Airflow's log, and print the end of the log."""
    report = yield
    fixtures = getattr(item, "funcargs", {})
    if report.failed and call.when != "teardown" and "page" in fixtures:
        processes: Processes = fixtures["airflow"].processes
        RESULTS.mkdir(exist_ok=True)
        picture, log = RESULTS / f"{item.name}.png", RESULTS / "standalone.log"
        fixtures["page"].screenshot(path=picture)
        shutil.copy(processes.logs / log.name, log)
        report.sections.append(("Airflow", processes.tails()))
        report.sections.append(("saved", f"the page in {picture}, the whole log in {log}"))
    return report


@pytest.fixture(scope="session")
def cloud() -> Iterator[CloudEmulator]:
    with CloudEmulator() as cloud:
        yield cloud


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    home, logs = tmp_path_factory.mktemp("airflow"), tmp_path_factory.mktemp("logs")
    hasten_tasks(home)
    environ = clean_environ() | base_settings(home, EXAMPLE_DAGS) | standalone_settings()
    environ |= {
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        # Only the run that the test triggers.
        "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
    }
    with Processes(environ, logs) as processes:
        processes.start("standalone", AIRFLOW, "standalone")
        airflow = Airflow(environ["AIRFLOW__API__BASE_URL"], processes)
        airflow.wait_for("Airflow is healthy", "monitor/health", is_healthy)
        yield airflow


def is_healthy(answer: bytes) -> bool:
    return all(component["status"] == "healthy" for component in json.loads(answer).values())


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = program("chromium", "chromium", "fonts-dejavu-core")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=BROWSER_FLAGS)
        yield browser
        browser.close()


@contextmanager
def new_page(browser: Browser, airflow: Airflow, window: ViewportSize) -> Iterator[Page]:
    context = browser.new_context(base_url=airflow.url, viewport=window, reduced_motion="reduce")
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    context.set_default_timeout(BROWSER_SECONDS * 1000)
    expect.set_options(timeout=BROWSER_SECONDS * 1000)
    yield context.new_page()
    context.close()


@pytest.fixture(scope="session")
def page(browser: Browser, airflow: Airflow) -> Iterator[Page]:
    """One page for all tests, as a user has it."""
    with new_page(browser, airflow, VIEWPORT) as page:
        yield page


@pytest.fixture(scope="session")
def camera(page: Page, request: pytest.FixtureRequest) -> Camera:
    return Camera(page, request.config.getoption("screenshots"))


@pytest.fixture
def wide_camera(browser: Browser, airflow: Airflow, request: pytest.FixtureRequest) -> Iterator[Camera]:
    """A page of its own, 1,400 pixels wide, as nobody has changed it yet."""
    with new_page(browser, airflow, {**VIEWPORT, "width": 1400}) as page:
        yield Camera(page, request.config.getoption("screenshots"))
