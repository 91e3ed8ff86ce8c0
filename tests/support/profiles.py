"""Services that answer otherwise than documented, and what ``check`` finds of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from conftest import CONN_ID

from airflow_provider_oceanbase._inferred import Finding
from airflow_provider_oceanbase.cli.points import findings
from airflow_provider_oceanbase.cli.probes import Observations, observe
from airflow_provider_oceanbase.hooks import OceanBaseHook
from airflow_provider_oceanbase.testing import CloudEmulator, Profile

PROFILES = {
    "documented": Profile(),
    "unknown ID: 400": Profile(unknown_id=400),
    "unknown ID: success: false": Profile(unknown_id=200),
    "unknown ID: null data": Profile(unknown_id=None),
    "other IDs": Profile(own_set_ids=True),
    "lower case": Profile(words={"DONE": "done", "CLUSTER": "cluster"}),
    "lower validity": Profile(words={"VALID": "valid"}),
    "other words": Profile(words={"DONE": "SUCCESS", "PHYSICAL_BACKUP": "PHYSICAL", "TENANT": "SCHEMA"}),
    "no zone": Profile(times="9999-99-99T99:99:99"),
    "offset": Profile(times="9999-99-99T99:99:99+99:99"),
    "quoted": Profile(times="9999-99-99'T'99:99:99.999'Z'"),
    "numbers": Profile(times="(number)"),
    "sizes": Profile(sizes_as_text=True),
    "no tenants": Profile(list_leaves_out=("tenantBackupSetList",)),
    "no validity": Profile(list_leaves_out=("validity",)),
    "oldest first": Profile(newest_first=False),
    "short pages": Profile(max_page_size=10),
    "no counts": Profile(page_fields=()),
    "one count": Profile(page_fields=("total",)),
    "SHA-256": Profile(algorithms=("SHA-256",)),
    "both": Profile(algorithms=("SHA-256", "MD5")),
    "no qop": Profile(qop=False),
    "fresh nonces": Profile(nonce_uses=1),
    "an older parameter": Profile(restore_requires=("openRequest",)),
    "older parameters": Profile(restore_requires=("openRequest", "restoreType")),
}


def checked(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> tuple[Observations, list[Finding]]:
    """Return what ``check`` sees of an emulator with a profile, and what it finds."""
    now = datetime.now(UTC).replace(microsecond=0)
    with CloudEmulator(profile=profile) as cloud:
        for number in range(15):
            began = now - timedelta(hours=48 - number)
            cloud.add_backup_set(
                "ob-1",
                f"bak-{number}",
                statuses=("DONE",),
                start_time=began,
                checkpoint=began + timedelta(minutes=5),
                end_time=began + timedelta(minutes=10),
            )
        monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", cloud.connection_uri)
        hook = OceanBaseHook()
        found = observe(hook, "ob-1", lambda _: None)
        hook.close()
    return found, findings(found)
