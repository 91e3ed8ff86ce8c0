"""Check, build, tag and upload the version that the code states: ``make release``."""

from __future__ import annotations

import argparse
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import requests
from harness.command import RunError, run

ROOT = Path(__file__).parent.parent
VERSION_FILE = "airflow_provider_oceanbase/__init__.py"
ADDRESS_TIMEOUT = 30


def main() -> str:
    """Release, or say why not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="neither tag nor upload")
    dry_run: bool = parser.parse_args().dry_run
    version: str = runpy.run_path(str(ROOT / VERSION_FILE))["__version__"]
    tag = f"v{version}"

    tagged = check_tree(version, tag)
    if not dry_run:
        check_addresses()
    command("make", "build")
    if dry_run:
        return f"{version} can be released; nothing was tagged or uploaded"
    if not tagged:
        command("git", "tag", "--annotate", tag, "--message", f"Version {version}")
    twine = Path(sys.executable).with_name("twine")
    command(twine, "upload", "--non-interactive", *sorted((ROOT / "dist").iterdir()))
    return f"{version} is uploaded and tagged here; push the tag: git push origin {tag}"


def check_tree(version: str, tag: str) -> bool:
    """Check what is to be released; return whether it has its tag already, as after an upload that failed."""
    if changes := git("status", "--porcelain"):
        raise RunError(f"the tree has changes that are not committed; commit or remove them:\n{changes}")
    changelog = (ROOT / "CHANGELOG.md").read_text()
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
        raise RunError(
            f"CHANGELOG.md has no section '## [{version}] - <year>-<month>-<day>'; "
            f"move what stands under Unreleased into it, or fix the version in {VERSION_FILE}"
        )
    if not git("tag", "--list", tag):
        return False
    if git("rev-list", "-1", tag) != git("rev-parse", "HEAD"):
        raise RunError(f"{tag} is the tag of another commit; raise the version in {VERSION_FILE}")
    return True


def check_addresses() -> None:
    """Check that what the package index will link to is there."""
    urls: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]
    for name, url in urls.items():
        try:
            answer = f"HTTP {requests.get(url, timeout=ADDRESS_TIMEOUT).status_code}"
        except requests.RequestException as error:
            answer = type(error).__name__
        if answer != "HTTP 200":
            raise RunError(
                f"{name}, {url}, does not answer ({answer}); claim the address and publish there first, "
                "or fix it in pyproject.toml under [project.urls]"
            )


def git(*arguments: str) -> str:
    """Return what git says."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise RunError(f"git {' '.join(arguments)} failed; a release is made from a clone")
    return done.stdout.rstrip()


def command(*words: str | Path) -> None:
    """Run a step of the release; its failure ends it."""
    if subprocess.run(words, cwd=ROOT, check=False).returncode:
        raise RunError(f"{Path(words[0]).name} {words[1]} failed; fix what it says above, and run again")


if __name__ == "__main__":
    run(main)
