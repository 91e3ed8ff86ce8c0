"""Sphinx reads this: ``make docs``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airflow_provider_oceanbase import __version__

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "airflow-provider-oceanbase"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
myst_heading_anchors = 4
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
# Aliases of types, and classes of others: where those are described cannot be looked up offline.
nitpick_ignore = [
    ("py:class", "Context"),
    ("py:class", "RetryDecision"),
    ("py:class", "airflow.sdk.exceptions.AirflowFailException"),
    ("py:class", "airflow_provider_oceanbase.exceptions._FinalError"),
    ("py:class", "Dataset"),
    ("py:class", "Interval"),
    ("py:class", "PageField"),
    ("py:class", "Statuses"),
    ("py:class", "Tenants"),
    ("py:class", "airflow.triggers.base.BaseTrigger"),
    ("py:class", "datetime"),
    ("py:class", "requests.Session"),
    ("py:class", "ssl.SSLContext"),
    ("py:class", "timedelta"),
]
html_theme = "furo"
html_title = f"{project} {version}"
# Ninety columns of code fit beside the contents.
html_theme_options = {"light_css_variables": {"code-font-size": "75%"}}
html_show_copyright = False
html_show_sourcelink = False


def setup(app: Sphinx) -> None:
    """Adapt pages and signatures for Sphinx; a repository host prints directives as code."""
    app.connect("source-read", _for_sphinx)
    app.connect("autodoc-process-signature", _with_configured_default)


def _for_sphinx(_app: Sphinx, _docname: str, source: list[str]) -> None:
    shown, _, _ = source[0].partition("<!-- repository -->")
    source[0] = shown.replace("<!-- sphinx\n", "").replace("\nsphinx -->", "")


def _with_configured_default(
    _app: Sphinx, _what: str, _name: str, _object: object, _options: object, signature: str, returns: str
) -> tuple[str, str]:
    # Otherwise, what is configured where the documentation is built would look like the package's default.
    shown = re.sub(r"\bdeferrable=(True|False)", "deferrable=DEFAULT_DEFERRABLE", signature or "")
    return shown or signature, returns
