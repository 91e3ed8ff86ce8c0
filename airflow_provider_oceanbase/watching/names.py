"""What the log calls a watch: by the assets that it serves, and the connection."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_oceanbase._texts import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

#: So many assets at most in a line of the log.
_NAMES = 3
#: By instance and connection: the assets whose triggers run, each with how many of them do. What lists an
#: instance serves all of them, and Airflow tells only the triggers which assets they are for.
_assets: dict[tuple[str, str], Counter[str]] = {}


@dataclass(frozen=True, slots=True)
class Watch:
    """The watch of an instance.

    :param instance_id: ID of the OceanBase cluster
    :param oceanbase_conn_id: ID of the connection
    """

    instance_id: str
    oceanbase_conn_id: str

    @property
    def name(self) -> str:
        """What the log calls it."""
        assets = sorted(_assets.get(self._key, ()))
        names = ", ".join(repr(shown(asset)) for asset in assets[:_NAMES])
        more = ", …" if len(assets) > _NAMES else ""
        # Before Airflow 3.3 nothing says which asset it is.
        of = f"asset {names}{more}" if assets else f"instance {shown(str(self.instance_id))!r}"
        return f"watch of {of}, connection {shown(str(self.oceanbase_conn_id))!r}"

    @contextmanager
    def serving(self, assets: Collection[str]) -> Iterator[None]:
        """Name these assets, too, as long as this lasts."""
        if not assets:
            yield
            return
        _assets[self._key] = _assets.get(self._key, Counter()) + Counter(assets)
        try:
            yield
        finally:
            _assets[self._key] -= Counter(assets)
            if not _assets[self._key]:
                del _assets[self._key]

    @property
    def _key(self) -> tuple[str, str]:
        # As text: any argument will do.
        return repr(self.instance_id), repr(self.oceanbase_conn_id)
