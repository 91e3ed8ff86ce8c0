"""``make release`` in a separate repository, against an index on this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from conftest import ROOT

from airflow_provider_oceanbase import __version__

VERSION_FILE = Path("airflow_provider_oceanbase", "__init__.py")
CHANGELOG = f"# Changelog\n\n## [Unreleased]\n\n## [{__version__}] - 2026-11-30\n\n### Added\n\n- All.\n"


class Web(ThreadingHTTPServer):
    """The addresses of the project, and a package index."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.missing = self.refuses = False
        self.seen: list[str] = []
        self.uploads: list[str] = []


class Handler(BaseHTTPRequestHandler):
    server: Web

    def do_GET(self) -> None:
        self.server.seen.append(self.path)
        self.answer(404 if self.server.missing and self.path.endswith("CHANGELOG.md") else 200)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.server.refuses:
            self.server.uploads += re.findall(rb'filename="(.*?)"', body)[0].decode().split()
        self.answer(403 if self.server.refuses else 200)

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_request(self, *args: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[Web]:
    with Web() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Clone:
    """A repository with a copy of this tree, this environment, and a release in its changelog."""

    def __init__(self, path: Path, address: str) -> None:
        self.path = path
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        for name in subprocess.check_output(listed, cwd=ROOT, text=True).split("\0"):
            if (ROOT / name).is_file():
                (path / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, path / name)
        project = (path / "pyproject.toml").read_text()
        source = re.search(r'^Source = "(.*)"$', project, re.MULTILINE)
        assert source
        (path / "pyproject.toml").write_text(project.replace(source[1], address))
        (path / "CHANGELOG.md").write_text(CHANGELOG)
        self.share_environment()
        self.git("init", "--quiet")
        self.git("config", "user.name", "The Tests")
        self.git("config", "user.email", "tests@example.com")
        self.commit()

    def share_environment(self) -> None:
        (self.path / ".venv").mkdir()
        for part in Path(sys.prefix).iterdir():
            if part.name != ".ready":
                (self.path / ".venv" / part.name).symlink_to(part)
        (self.path / ".venv" / ".ready").touch()

    def git(self, *arguments: str) -> str:
        return subprocess.check_output(["git", *arguments], cwd=self.path, text=True).strip()

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "A change")

    def release(self, *variables: str) -> tuple[int, str]:
        completed = subprocess.run(
            ["make", "release", *variables],
            cwd=self.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return completed.returncode, completed.stdout

    def refuses(self, *variables: str) -> str:
        """Return the sentence that refuses a release, before anything is built or tagged."""
        status, output = self.release(*variables)
        assert status == 2, output
        assert not (self.path / "dist").exists()
        (sentence,) = re.findall(r"^release: (.*)$", output, re.MULTILINE)
        assert "Traceback" not in output
        return str(sentence)


@pytest.fixture
def clone(tmp_path: Path, web: Web, monkeypatch: pytest.MonkeyPatch) -> Clone:
    # make and git, which may run these tests, pass variables on to the processes that they start.
    for name in [name for name in os.environ if name.startswith(("GIT_", "MAKE", "TWINE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TWINE_REPOSITORY_URL", f"{web.address}/upload/")
    monkeypatch.setenv("TWINE_USERNAME", "__token__")
    monkeypatch.setenv("TWINE_PASSWORD", "a-token-of-the-tests")
    return Clone(tmp_path, web.address)


FILES = [f"airflow_provider_oceanbase-{__version__}{suffix}" for suffix in ("-py3-none-any.whl", ".tar.gz")]


@pytest.mark.builds
def test_dry_run(clone: Clone, web: Web) -> None:
    status, output = clone.release("DRY_RUN=1")
    assert status == 0, output
    assert f"release: {__version__} can be released; nothing was tagged or uploaded" in output
    assert output.count("PASSED") == 2
    assert sorted(path.name for path in (clone.path / "dist").iterdir()) == FILES
    assert (clone.git("tag"), web.seen, web.uploads) == ("", [], [])


@pytest.mark.builds
def test_release_resumes_after_a_failed_upload(clone: Clone, web: Web) -> None:
    web.refuses = True
    status, output = clone.release()
    assert status == 2
    assert "release: twine upload failed" in output
    web.refuses = False
    status, output = clone.release()
    assert status == 0, output
    assert f"git push origin v{__version__}" in output
    assert sorted(web.uploads) == FILES
    assert clone.git("rev-list", "-1", f"v{__version__}") == clone.git("rev-parse", "HEAD")
    assert set(web.seen) == {"/tree/main/docs", "/", "/blob/main/CHANGELOG.md"}


@pytest.mark.parametrize("variables", [(), ("DRY_RUN=1",)])
def test_refuses(variables: tuple[str, ...], clone: Clone, web: Web) -> None:
    readme = clone.path / "README.md"
    before = readme.read_text()
    readme.write_text(before + "\nA change.\n")
    assert "the tree has changes that are not committed" in clone.refuses(*variables)
    readme.write_text(before)

    clone.git("tag", f"v{__version__}")
    (clone.path / "CHANGELOG.md").write_text(CHANGELOG.replace(f"## [{__version__}] - 2026-11-30\n", ""))
    clone.commit()
    assert f"CHANGELOG.md has no section '## [{__version__}] - " in clone.refuses(*variables)

    (clone.path / "CHANGELOG.md").write_text(CHANGELOG)
    clone.commit()
    assert f"v{__version__} is the tag of another commit" in clone.refuses(*variables)
    assert (web.seen, web.uploads) == ([], [])


def test_refuses_an_address_that_does_not_respond(clone: Clone, web: Web) -> None:
    web.missing = True
    sentence = clone.refuses()
    assert f"Changelog, {web.address}/blob/main/CHANGELOG.md, does not answer (HTTP 404)" in sentence
    assert (clone.git("tag"), web.uploads) == ("", [])
