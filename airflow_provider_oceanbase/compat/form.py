"""The connection form before Airflow 3.3, made from the metadata that later versions read."""

from __future__ import annotations

from typing import Any

from airflow_provider_oceanbase import get_provider_info


def field_behaviour() -> dict[str, Any]:
    """Return labels and placeholders."""
    return {key.replace("-", "_"): value for key, value in _connection_type()["ui-field-behaviour"].items()}


def widgets() -> dict[str, Any]:
    """Return the extra fields."""
    from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
    from wtforms import PasswordField, StringField

    def widget(field: dict[str, Any]) -> Any:
        secret = field["schema"].get("format") == "password"
        field_class, look = (
            (PasswordField, BS3PasswordFieldWidget) if secret else (StringField, BS3TextFieldWidget)
        )
        return field_class(field["label"], description=field["description"], widget=look())

    return {name: widget(field) for name, field in _connection_type()["conn-fields"].items()}


def _connection_type() -> dict[str, Any]:
    connection_types: Any = get_provider_info()["connection-types"]
    return connection_types[0]  # type: ignore[no-any-return]
