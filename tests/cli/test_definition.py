"""The arguments of the commands, on their own and within Airflow's."""

from __future__ import annotations

import json
from argparse import ArgumentParser

import pytest
from commands import AIRFLOW, in_airflow, run
from conftest import ROOT

from airflow_provider_oceanbase import get_provider_info
from airflow_provider_oceanbase.__main__ import main
from airflow_provider_oceanbase.cli.definition import COMMANDS, EPILOG
from airflow_provider_oceanbase.cli.run import Exit
from airflow_provider_oceanbase.testing import CloudEmulator


@in_airflow
def test_airflow_has_the_commands(server: CloudEmulator) -> None:
    code, out, _ = run(server, "instances", "-o", "json", entry=AIRFLOW)
    assert (code, json.loads(out)) == (0, [{"instanceId": "ob-cli7", "status": "ONLINE"}])
    code, out, err = run(server, "backups", "ob-cli7", "--interval", "5", entry=AIRFLOW)
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        "airflow oceanbase backups: argument --interval: needs --watch",
        "For help: airflow oceanbase backups --help",
    ]


def test_metadata_name_the_definition() -> None:
    assert get_provider_info()["cli"] == ["airflow_provider_oceanbase.cli.definition.get_commands"]


UNUSABLE = {
    "": "the following arguments are required: COMMAND",
    "backups": "the following arguments are required: INSTANCE",
    "nope": "argument COMMAND: invalid choice: 'nope'",
    "backups|ob demo": "argument INSTANCE: 'ob demo' is no ID",
    "backups|ob\tdemo": "argument INSTANCE: 'ob\\tdemo' is no ID",
    "backup|ob-1|": "argument ID: '' is no ID",
    "backup|None|bak-1": "argument INSTANCE: 'None' is no ID",
    "check|..": "argument INSTANCE: '..' is no ID",
    "instances|--conn-id|": "argument --conn-id: '' is no ID",
    "backups|ob-1|--days|0": "argument --days: '0' is no number of days",
    "backups|ob-1|--days|999999999": "argument --days: '999999999' is no number of days from 1 to 3650",
    "backups|ob-1|--days|1.5": "argument --days",
    "backups|ob-1|--status|": "argument --status: '' is no status",
    "backup|ob-1|bak-1|--wait|--timeout|soon": "argument --timeout: 'soon' is no number of seconds",
    "backup|ob-1|bak-1|--timeout|5": "argument --timeout: needs --wait",
    "backup|ob-1|bak-1|--interval|5": "argument --interval: needs --wait",
    "backups|ob-1|--interval|5": "argument --interval: needs --watch",
    "instances|-o|xml": "argument -o/--output: invalid choice: 'xml'",
}


@pytest.mark.parametrize("words", UNUSABLE)
def test_unusable_arguments_end_with_two_lines(
    words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["", *(words.split("|") if words else [])])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (Exit.USAGE, "")
    problem, hint = said.err.splitlines()
    assert f": {UNUSABLE[words]}" in problem
    assert hint.startswith("For help: python -m airflow_provider_oceanbase")


def test_the_help_is_for_people() -> None:
    for command in COMMANDS:
        parser = ArgumentParser()
        for argument in command.args:
            argument.add_to_parser(parser)
        assert ".0" not in parser.format_help()
    assert all(f" {code.value} " in EPILOG for code in Exit)
    page = (ROOT / "docs" / "command-line.md").read_text()
    assert all(f"| {code.value} |" in page for code in Exit)
