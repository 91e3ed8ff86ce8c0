"""What hypothesis generates: JSON values, and answers of the API, right or wrong."""

from __future__ import annotations

import json
import re

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from airflow_provider_oceanbase.cloud import protocol
from airflow_provider_oceanbase.cloud.endpoint import Endpoint
from airflow_provider_oceanbase.waiting.arguments import FAILURE_STATUSES, SUCCESS_STATUSES

settings.register_profile(
    "thorough", max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("thorough")

ENDPOINT = Endpoint(conn_id="ob", origin="https://api.example", access_key_id="k", access_key_secret="s")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
statuses = st.sampled_from([*SUCCESS_STATUSES, *FAILURE_STATUSES, "DOING", "odd"]) | st.text()
tenants = st.none() | st.lists(st.dictionaries(st.text(), json_values, max_size=3), max_size=3)
fields = ("status", "validity", "checkpoint", "dataBackupSize", "tenantName", "backupSetId")
data = st.fixed_dictionaries(
    {"status": statuses | json_values},
    optional={"validity": statuses | json_values, "tenantBackupSetList": tenants | json_values}
    | dict.fromkeys(fields[2:], json_values),
)
envelopes = st.fixed_dictionaries(
    {},
    optional={
        "success": st.booleans() | json_values,
        "data": data | json_values,
        "requestId": json_values,
        "errorCode": json_values,
        "errorMessage": json_values,
    },
)
bodies = (
    st.binary()
    | json_values.map(lambda value: json.dumps(value).encode())
    | envelopes.map(lambda value: json.dumps(value).encode())
)
http_statuses = (
    st.sampled_from([200] * 3 + [204, 301, 400, 401, 403, 404, 407, 408, 429, 503]) | st.integers()
)
headers = st.dictionaries(st.sampled_from([*protocol.HEADERS_READ, "X-Other"]), st.text())


def _written(
    challenges: list[tuple[str, dict[str, str]]], separator: str, equals: str, quotes: bool
) -> tuple[str, list[tuple[str, dict[str, str]]]]:
    """Return challenges as a header, and as they are to be read."""
    written = []
    for scheme, parameters in challenges:
        items = []
        for name, value in parameters.items():
            escaped = re.sub(r'(["\\])', r"\\\1", value)
            bare = not quotes and re.fullmatch(r"[A-Za-z0-9._-]+", value)
            items.append(name.upper() + equals + (value if bare else f'"{escaped}"'))
        written.append(f"{scheme} {separator.join(items)}")
    return f"{separator}{separator.join(written)}{separator}", challenges


_tokens = st.text("abcXYZ019!#$%&'*+.^_`|~-", min_size=1)
#: Headers, and the challenges in them.
challenge_lists = st.builds(
    _written,
    st.lists(st.tuples(_tokens, st.dictionaries(_tokens.map(str.lower), st.text(), max_size=4)), max_size=4),
    separator=st.sampled_from([",", ", ", " ,\t,", ",,"]),
    equals=st.sampled_from(["=", " = ", "\t="]),
    quotes=st.booleans(),
)
#: Texts that look like challenges.
challenge_fragments = st.lists(
    st.sampled_from(
        ["Digest ", "realm=", "nonce=", "nextnonce=", "opaque=", "qop=auth", "algorithm=MD5-sess"]
    )
    | st.sampled_from(' ",=\\a\t\n\x00\x7f\u00e9\u4e91\udce9')
).map("".join)
