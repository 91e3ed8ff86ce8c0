"""Check, build, tag and upload the version that the code states: ``make release``."""

from __future__ import annotations

import argparse
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NoReturn

import requests

ROOT = Path(__file__).parent.parent
VERSION_FILE = "airflow_provider_oceanbase/__init__.py"
BIN = Path(sys.executable).parent
ADDRESS_TIMEOUT = 30


def main() -> None:
    """Release, or say why not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="neither tag nor upload")
    dry_run: bool = parser.parse_args().dry_run
    version: str = runpy.run_path(str(ROOT / VERSION_FILE))["__version__"]
    tag = f"v{version}"

    refuse_uncommitted_changes()
    refuse_undescribed(version)
    tagged = refuse_tag_of_another_commit(tag)
    if not dry_run:
        refuse_unanswered_addresses()
    command("make", "build")
    if dry_run:
        print(f"release: {version} can be released; nothing was tagged or uploaded")
        return
    if not tagged:
        command("git", "tag", "--annotate", tag, "--message", f"Version {version}")
    command(BIN / "twine", "upload", "--non-interactive", *sorted((ROOT / "dist").iterdir()))
    print(f"release: {version} is uploaded and tagged here; push the tag: git push origin {tag}")


def refuse_uncommitted_changes() -> None:
    """What is uploaded is what the tag names."""
    if changes := git("status", "--porcelain"):
        refuse(f"the tree has changes that are not committed; commit or remove them:\n{changes}")


def refuse_undescribed(version: str) -> None:
    """A version has a dated section in the changelog."""
    changelog = (ROOT / "CHANGELOG.md").read_text()
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
        refuse(
            f"CHANGELOG.md has no section '## [{version}] - <year>-<month>-<day>'; "
            f"move what stands under Unreleased into it, or mend the version in {VERSION_FILE}"
        )


def refuse_tag_of_another_commit(tag: str) -> bool:
    """Return whether this commit has the tag already, as after an upload that failed."""
    if not git("tag", "--list", tag):
        return False
    if git("rev-list", "-1", tag) != git("rev-parse", "HEAD"):
        refuse(f"{tag} is the tag of another commit; raise the version in {VERSION_FILE}")
    return True


def refuse_unanswered_addresses() -> None:
    """What the package index will link to is there."""
    urls: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]
    for name, url in urls.items():
        try:
            answer = f"HTTP {requests.get(url, timeout=ADDRESS_TIMEOUT).status_code}"
        except requests.RequestException as error:
            answer = type(error).__name__
        if answer != "HTTP 200":
            refuse(
                f"{name}, {url}, does not answer ({answer}); claim the address and publish there first, "
                "or mend it in pyproject.toml under [project.urls]"
            )


def refuse(why: str) -> NoReturn:
    """Stop, with a sentence."""
    sys.exit(f"release: {why}")


def git(*arguments: str) -> str:
    """Return what git says."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        refuse(f"git {' '.join(arguments)} failed; a release is made from a clone")
    return done.stdout.rstrip()


def command(*words: str | Path) -> None:
    """Run a step of the release; its failure ends it."""
    try:
        subprocess.run(words, cwd=ROOT, check=True)
    except subprocess.CalledProcessError:
        refuse(f"{Path(words[0]).name} {words[1]} failed; mend what it says above, and run again")


if __name__ == "__main__":
    main()
