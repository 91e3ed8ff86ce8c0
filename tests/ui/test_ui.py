"""What a user does in the web UI: add the connection, test it, run the example DAG, read XComs."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from conftest import BROWSER_SECONDS, Airflow, Camera
from harness.settings import DAG_ID
from pages import SEEN_CHARACTERS
from playwright.sync_api import FloatRect, Locator, Page, expect

from airflow_provider_oceanbase import get_provider_info
from airflow_provider_oceanbase.testing import CloudEmulator

CONN_ID = "oceanbase_default"
BACKUP_TASK_ID = "bak-nightly"
TENANTS = ("orders", "billing", "analytics")
CONNECTION_TYPE: dict[str, Any] = get_provider_info()["connection-types"][0]  # type: ignore[index]
BEHAVIOUR: dict[str, Any] = CONNECTION_TYPE["ui-field-behaviour"]
#: Fields of the form and their labels: Airflow's, or this provider's.
STANDARD_FIELDS = {"description": "Description", "host": "Host", "port": "Port", **BEHAVIOUR["relabeling"]}
EXTRA_FIELDS = CONNECTION_TYPE["conn-fields"]
#: Half a minute on an idle machine.
RUN_SECONDS = 240
#: What the log advises for an error.
ADVICE = {
    "BackupSetFailedError": "Do not rely on this backup",
    "OceanBaseAuthenticationError": "Check AccessKey ID (login) and secret (password) of connection",
}


@pytest.fixture(scope="session")
def connection(page: Page, cloud: CloudEmulator, camera: Camera) -> None:
    """Add the connection to the emulator with the form."""
    form = open_new_connection(page)
    form.get_by_label("Connection ID").fill(CONN_ID)
    for name in ("login", "password"):
        field(form, name).fill(cloud.connection[name])
    camera.take("connection-form", part=form, height=1000)
    for name in ("host", "port", "schema"):
        field(form, name).fill(str(cloud.connection[name]))
    form.get_by_role("button", name="Extra Fields", exact=True).click()
    for name, value in {
        "project_id": "project-1",
        "timeout": "10",
        "verify": "true",
        "console_url": "https://console.example/{project_id}/{instance_id}",
    }.items():
        extra_field(form, name).fill(value)
    save(form)
    expect(page.get_by_role("row", name=CONN_ID)).to_be_visible()


def open_new_connection(page: Page) -> Locator:
    page.goto("/")
    page.get_by_role("button", name="Admin").click()
    page.get_by_role("menuitem", name="Connections").click()
    page.get_by_role("button", name="Add Connection").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Connection Type").fill("OceanBase")
    page.get_by_role("option", name="OceanBase Cloud", exact=True).click()
    return form


def field(form: Locator, name: str) -> Locator:
    return form.get_by_label(STANDARD_FIELDS[name], exact=True)


def extra_field(form: Locator, name: str) -> Locator:
    # Some of these fields have no label in HTML.
    return form.get_by_role("group").filter(has_text=EXTRA_FIELDS[name]["label"]).locator("input")


def save(form: Locator) -> None:
    form.get_by_role("button", name="Save").click()
    expect(form).to_be_hidden()


def test_form_has_the_documented_fields(page: Page) -> None:
    form = open_new_connection(page)
    for name in STANDARD_FIELDS:
        expect(field(form, name)).to_be_visible()
    for name, text in BEHAVIOUR["placeholders"].items():
        expect(field(form, name)).to_have_attribute("placeholder", text)
    expect(field(form, "password")).to_have_attribute("type", "password")
    form.get_by_role("button", name="Extra Fields", exact=True).click()
    for name, extra in EXTRA_FIELDS.items():
        expect(extra_field(form, name)).to_be_visible()
        expect(form.get_by_text(extra["description"])).to_be_visible()
    expect(extra_field(form, "proxy")).to_have_attribute("type", "password")
    names = form.locator("[name]").evaluate_all("fields => fields.map(field => field.name)")
    assert set(names) == {"connection_id", *STANDARD_FIELDS, *(f"element_{name}" for name in EXTRA_FIELDS)}


def test_connection_test_says_what_to_fix(page: Page, connection: None, cloud: CloudEmulator) -> None:
    page.goto("/connections")
    row = page.get_by_role("row", name=CONN_ID)
    secret = cloud.connection["password"]

    def change_secret(new: str) -> None:
        row.get_by_role("button", name="Edit Connection").click()
        form = page.get_by_role("dialog")
        expect(field(form, "password")).to_have_value("***")
        field(form, "password").fill(new)
        save(form)

    def result_of_test(title: str) -> Locator:
        row.get_by_role("button", name="Test Connection").click()
        return page.get_by_role("status", name=title)

    expect(result_of_test("Test Connection Successful")).to_contain_text("in project 'project-1'")
    assert cloud.requests[-1].headers["x-ob-project-id"] == "project-1"
    change_secret("not-the-secret")
    expect(result_of_test("Test Connection Failed")).to_contain_text(
        "Check AccessKey ID and AccessKey secret, that the key is enabled"
    )
    change_secret(secret)
    expect(result_of_test("Test Connection Successful")).to_be_visible()


def test_secret_never_reaches_the_browser(page: Page, connection: None, cloud: CloudEmulator) -> None:
    secret = cloud.connection["password"]
    with page.expect_response(re.compile(r"/api/v2/connections\?")) as answer:
        page.goto("/connections")
    assert CONN_ID in answer.value.text()
    assert secret not in answer.value.text()
    page.get_by_role("row", name=CONN_ID).get_by_role("button", name="Edit Connection").click()
    form = page.get_by_role("dialog")
    form.get_by_role("button", name="Show value").click()
    expect(field(form, "password")).to_have_attribute("type", "text")
    expect(field(form, "password")).to_have_value("***")
    form.get_by_role("button", name="Extra Fields JSON").click()
    expect(form.locator(".view-lines")).to_contain_text("project-1")
    assert secret not in form.inner_text()


def test_example_dag(
    page: Page, connection: None, airflow: Airflow, cloud: CloudEmulator, camera: Camera
) -> None:
    cloud.add_backup_set("ob-demo", BACKUP_TASK_ID, polls_per_status=2, tenants=TENANTS)
    airflow.wait_for("the example DAG is read", f"dags/{DAG_ID}", bool)
    page.goto(f"/dags/{DAG_ID}")
    page.get_by_role("button", name="Dag Docs").click()
    explanation = page.get_by_role("dialog")
    expect(explanation.get_by_role("listitem")).to_contain_text(["It runs", "It needs", "Replace"])
    expect(explanation.get_by_role("code").last).to_contain_text(f"airflow dags trigger {DAG_ID} --conf")
    page.keyboard.press("Escape")
    expect(explanation).to_be_hidden()
    trigger(page)
    run = page.url
    ended = page.get_by_role("row").get_by_text("Success", exact=True)
    expect(ended).to_have_count(2 + len(TENANTS), timeout=RUN_SECONDS * 1000)
    assert cloud.polls("ob-demo", BACKUP_TASK_ID) > 2

    open_task(page, "wait_for_backup", "Rendered Templates")
    for name, value in {"instance_id": "ob-demo", "backup_task_id": BACKUP_TASK_ID}.items():
        expect(page.get_by_role("row", name=name).get_by_role("code")).to_contain_text(value)
    page.goto(run)
    open_task(page, "wait_for_backup", "Details")
    link = page.get_by_role("link", name="OceanBase Cloud")
    expect(link).to_have_attribute("href", "https://console.example/project-1/ob-demo")

    page.goto(run)
    open_task(page, "get_backup_set", "Storage")
    result = show_result(page)
    camera.take("xcom", height=740)
    assert [tenant["tenantName"] for tenant in copied(result)] == list(TENANTS)

    page.goto(run)
    page.get_by_role("button", name="Show Graph").click()
    page.get_by_role("button", name="Collapse Details Panel").click()
    graph = page.get_by_role("application")
    expect(graph.get_by_text("success", exact=True)).to_have_count(3)
    graph.get_by_role("button", name="Fit View").click()
    for task_id in ("wait_for_backup", "get_backup_set", f"process [{len(TENANTS)}]"):
        # Visible, and not covered.
        graph.get_by_role("link", name=task_id).click(trial=True)
    camera.take("dag-graph")


def trigger(page: Page) -> None:
    """Trigger the DAG with the form of its parameters, none of which has a default, then show the run."""
    page.get_by_role("button", name="Trigger Dag").click()
    form = page.get_by_role("dialog")
    for name, value in {"instance_id": "ob-demo", "backup_task_id": BACKUP_TASK_ID}.items():
        expect(form.locator(f"[name=element_{name}]")).to_have_value("")
        form.locator(f"[name=element_{name}]").fill(value)
    expect(form.get_by_text("The backup to wait for")).to_be_visible()
    form.get_by_role("button", name="Trigger", exact=True).click()
    expect(page).to_have_url(re.compile("/runs/manual"))


def open_task(page: Page, task_id: str, tab: str) -> None:
    """Open a tab of a task's page, from the page of its run."""
    page.get_by_role("table").get_by_role("link", name=task_id).click()
    page.get_by_role("link", name=tab).click()


def show_result(page: Page) -> Locator:
    """Return the row of the operator's result under XCom, expanded and above the others."""
    page.get_by_role("link", name="XCom").click()
    sort = page.get_by_role("columnheader").filter(has_text="Key").get_by_role("button")
    sort.click()
    sort.click()
    page.get_by_role("button", name="Expand all").click()
    row = page.get_by_role("row").nth(1)
    expect(row.get_by_role("cell", name="return_value")).to_be_visible()
    expect(row.locator(".view-lines")).to_contain_text(f'"{BACKUP_TASK_ID}-1002"')
    return row


def copied(result: Locator) -> list[dict[str, Any]]:
    """Return an XCom as its button copies it: complete, although only a part is visible."""
    result.get_by_role("button", name="Copy").click()
    tenants: list[dict[str, Any]] = json.loads(result.page.evaluate("navigator.clipboard.readText()"))
    return tenants


@pytest.mark.parametrize(
    ("name", "statuses", "error"),
    [
        ("failed-backup", ("DOING", "DOING", "FAILED"), "BackupSetFailedError"),
        ("rotated-key", ("DOING",), "OceanBaseAuthenticationError"),
    ],
)
def test_the_log_says_what_to_do(
    name: str,
    statuses: tuple[str, ...],
    error: str,
    connection: None,
    airflow: Airflow,
    cloud: CloudEmulator,
    wide_camera: Camera,
) -> None:
    """The beginning of each line, as far as the documentation shows it, is seen without scrolling."""
    page = wide_camera.page
    cloud.add_backup_set("ob-demo", f"bak-{name}", statuses=statuses)
    airflow.wait_for("the example DAG is read", f"dags/{DAG_ID}", bool)
    run(page, name, {"instance_id": "ob-demo", "backup_task_id": f"bak-{name}"})
    key = cloud.connection["login"], cloud.connection["password"]
    try:
        if error == "OceanBaseAuthenticationError":
            airflow.processes.wait_for(
                "the backup is polled", RUN_SECONDS, lambda: cloud.polls("ob-demo", f"bak-{name}") > 1
            )
            cloud.rotate_key("another-key", "another-secret")
        airflow.wait_for(
            "the run has failed",
            f"dags/{DAG_ID}/dagRuns/{name}",
            lambda answer: json.loads(answer)["state"] == "failed",
        )
    finally:
        cloud.rotate_key(*key)

    page.goto(f"/dags/{DAG_ID}/runs/{name}/tasks/wait_for_backup")
    verdict = page.get_by_test_id(f"summary-{error}")
    advice = page.locator(".event").filter(has_text=ADVICE[error]).first
    log = page.get_by_test_id("virtual-scroll-container")
    for line in (advice, verdict):
        expect(line).to_be_visible()
        assert seen_characters(airflow, log, line) > SEEN_CHARACTERS
    # The lines of code below it have paths of this machine.
    verdict.evaluate("line => { line.parentElement.open = false }")
    wide_camera.take(f"log-of-{name}")


def seen_characters(airflow: Airflow, log: Locator, line: Locator) -> float:
    """Return how many characters of a line fit into the log's window."""

    def place(part: Locator) -> FloatRect:
        # The log draws its lines again as they arrive: meanwhile, one that was visible has no place.
        return airflow.processes.wait_for("the log is drawn", BROWSER_SECONDS, part.bounding_box)

    window, box = place(log), place(line)
    return (window["x"] + window["width"] - box["x"]) / (box["width"] / len(line.inner_text()))


def run(page: Page, run_id: str, parameters: dict[str, str]) -> None:
    """Run the example DAG."""
    address = f"/api/v2/dags/{DAG_ID}"
    started = {"dag_run_id": run_id, "logical_date": None, "conf": parameters}
    expect(page.request.patch(address, data={"is_paused": False})).to_be_ok()
    expect(page.request.post(f"{address}/dagRuns", data=started)).to_be_ok()
