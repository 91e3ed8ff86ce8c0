"""An emulator of the OceanBase Cloud API, to test DAGs without an account.

It listens on a local port, with real digest authentication::

    def test_my_dag(monkeypatch):
        with CloudEmulator() as cloud:
            monkeypatch.setenv("AIRFLOW_CONN_OCEANBASE_DEFAULT", cloud.connection_uri)
            cloud.add_backup_set("ob-1", "bak-1", statuses=("DOING", "DONE"), tenants=("orders",))
            assert my_dag.test().state == "success"

It also lists backup sets and starts backups: ``cloud.next_backup("ob-1", statuses=("DOING", "FAILED"))`` sets
the statuses of the next backup. :class:`CloudEmulator` documents its responses.

``python -m airflow_provider_oceanbase.testing`` runs it until Ctrl-C.

It imports nothing of the package but the form of reports, and no other module imports it.
"""

from airflow_provider_oceanbase.testing._emulator import CloudEmulator
from airflow_provider_oceanbase.testing._envelope import SeenRequest
from airflow_provider_oceanbase.testing._profile import Profile

__all__ = ["CloudEmulator", "Profile", "SeenRequest"]
