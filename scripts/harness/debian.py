"""Programs from Debian's packages, installed where they are missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from harness.command import RunError, say

_ENVIRON = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}


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
    for arguments in ("update -q", f"install -y -q --no-install-recommends {names}"):
        command = f"apt-get {arguments}"
        try:
            subprocess.run(command.split(), env=_ENVIRON, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            reason = (getattr(error, "stderr", "").strip() or str(error)).splitlines()[-1]
            raise RunError(f"{binary} is missing, and `{command}` failed: {reason}") from None
    if found := _find(binary):
        return found
    raise RunError(f"{names} is installed, but its program {binary} is not to be found")


def _find(binary: str) -> Path | None:
    if in_path := shutil.which(binary):
        return Path(in_path)
    # Debian keeps PostgreSQL's programs out of PATH, a folder each version.
    versions = Path("/usr/lib/postgresql").glob(f"*/bin/{binary}")
    return max(versions, key=lambda path: int(path.parts[4]), default=None)
