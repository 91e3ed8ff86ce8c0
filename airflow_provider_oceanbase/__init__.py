"""Apache Airflow provider for OceanBase Cloud."""

# Airflow reads get_provider_info() in every process it starts: this module imports nothing.

__version__ = "0.1.0"


def get_provider_info() -> dict[str, object]:
    """Return what Airflow shows of this provider: its modules, its connection type and the connection form.

    Airflow 3.3 draws the form from this table alone. For older versions ``OceanBaseHook`` makes the form's
    widgets from it.
    """
    integration = "OceanBase Cloud"

    def modules(*names: str) -> list[dict[str, object]]:
        paths = [f"airflow_provider_oceanbase.{name}" for name in names]
        return [{"integration-name": integration, "python-modules": paths}]

    uris = [
        {
            "schemes": ["oceanbase-cloud"],
            # Airflow's own normal form will do.
            "handler": None,
            "factory": "airflow_provider_oceanbase.lineage.create_asset",
            "to_openlineage_converter": "airflow_provider_oceanbase.lineage.convert_asset_to_openlineage",
        }
    ]
    return {
        "package-name": "airflow-provider-oceanbase",
        "name": integration,
        "description": "Start, wait for, watch and read backups of OceanBase Cloud.",
        "integrations": [
            {
                "integration-name": integration,
                "external-doc-url": "https://en.oceanbase.com/docs",
                "tags": ["service"],
            }
        ],
        "hooks": modules("hooks"),
        "operators": modules("operators"),
        "sensors": modules("sensors"),
        "triggers": modules("triggers"),
        "extra-links": ["airflow_provider_oceanbase.links.OceanBaseCloudLink"],
        # Airflow before 3.2 does not read it: there the commands are python -m airflow_provider_oceanbase.
        "cli": ["airflow_provider_oceanbase.cli.definition.get_commands"],
        "asset-uris": uris,
        # The same, for Airflow 2.
        "dataset-uris": uris,
        "connection-types": [
            {
                "connection-type": "oceanbase",
                "hook-class-name": "airflow_provider_oceanbase.hooks.OceanBaseHook",
                "hook-name": integration,
                "ui-field-behaviour": {
                    "hidden-fields": [],
                    "relabeling": {
                        "login": "AccessKey ID",
                        "password": "AccessKey secret",
                        "schema": "Schema (https or http)",
                    },
                    "placeholders": {
                        "login": "Required",
                        "password": "Required",
                        "host": "Default: api-cloud.oceanbase.com. China: api-cloud-cn.oceanbase.com",
                        "schema": "Default: https",
                        "port": "Default: 443, with http 80",
                    },
                },
                "conn-fields": {
                    "project_id": {
                        "label": "Project ID",
                        "description": (
                            "Sent as X-Ob-Project-Id with every request. Without it OceanBase Cloud uses "
                            "the project that the account named last, which another client can change."
                        ),
                        "schema": {"type": ["string", "null"]},
                    },
                    "timeout": {
                        "label": "Timeout (seconds)",
                        "description": "To wait for a connection, and for each read. Default: 30.",
                        "schema": {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 3600},
                    },
                    "verify": {
                        "label": "TLS verification",
                        "description": (
                            "true (default), false, or the path of a CA bundle on workers and triggerers."
                        ),
                        "schema": {"type": ["string", "null"]},
                    },
                    "console_url": {
                        "label": "Console URL",
                        "description": (
                            "For the link in a task's page; may hold {project_id} and {instance_id}. "
                            "Default: known for China, else no link."
                        ),
                        "schema": {"type": ["string", "null"]},
                    },
                    "proxy": {
                        "label": "Proxy URL",
                        "description": (
                            "For example http://proxy:3128. Default: HTTPS_PROXY and NO_PROXY of the "
                            "environment."
                        ),
                        "schema": {"type": ["string", "null"], "format": "password"},
                    },
                },
            }
        ],
    }
