"""Programs from Debian's packages, installed where they are missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from processes import RunError, say

if TYPE_CHECKING:
    from collections.abc import Mapping


def program(binary: str, *packages: str) -> Path:
    """Return where a program is, once its packages are installed."""
    if found := _find(binary):
        return found
    names = " ".join(packages)
    if os.geteuid() != 0:
        raise RunError(
            f"{binary} is missing; on Debian, as root: apt-get install --no-install-recommends {names}"
        )
    say(f"apt-get install {names}")
    environ = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    install = ("apt-get", "install", "-y", "-q", "--no-install-recommends", *packages)
    for command in (("apt-get", "update", "-q"), install):
        problem = _problem(command, environ)
        if problem:
            raise RunError(f"{binary} is missing, and `{' '.join(command)}` failed: {problem}")
    if found := _find(binary):
        return found
    raise RunError(f"{names} is installed, but its program {binary} is not to be found")


def _problem(command: tuple[str, ...], environ: Mapping[str, str]) -> str | None:
    try:
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    if not done.returncode:
        return None
    return (done.stderr.strip().splitlines() or [f"code {done.returncode}"])[-1]


def _find(binary: str) -> Path | None:
    if in_path := shutil.which(binary):
        return Path(in_path)
    # Debian keeps PostgreSQL's programs out of PATH, a folder each version.
    versions = Path("/usr/lib/postgresql").glob(f"*/bin/{binary}")
    return max(versions, key=lambda path: int(path.parts[4]), default=None)
