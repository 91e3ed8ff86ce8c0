"""What must hold of a watch in every history."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from histories.model import Judge
from histories.triggerer import Triggerer
from histories.world import Store, World


@dataclass(eq=False)
class Watched:
    """What a watch must report: each backup of its instance that completes.

    :param interval: seconds between its polls
    """

    world: World
    judge: Judge
    store: Store
    instance: str
    interval: float
    reported: set[str] = field(default_factory=set)
    _in_this_life: set[str] = field(default_factory=set)

    def fired(self, payload: dict[str, Any]) -> None:
        """Judge an event of the watch."""
        for summary in payload["backup_sets"]:
            name = summary["backupSetId"]
            (backup,) = (one for one in self.world.cloud.backups if one.name == name)
            self.judge.must(backup.instance == self.instance, f"the watch reports {name} of another instance")
            self.judge.must(
                backup.is_good(self.world.clock.now), f"the watch reports {name}, which is not complete"
            )
            self.judge.must(name not in self._in_this_life, f"the watch reports {name} twice")
            self._in_this_life.add(name)
            self.reported.add(name)

    def triggerer_starts(self) -> None:
        self._in_this_life.clear()

    def check_beginning(self, triggerer: Triggerer) -> None:
        """Check that a new watch has saved where it begins: else what completes until it does is lost."""
        read, stored = self.store.read, self.store.stored
        if read is None or (self.world.clock.now if stored is None else stored) < read + 0.1:
            return
        excused = triggerer.changed >= read or self.world.troubled_since(read, "store")
        self.judge.must(excused, "a new watch has not saved at once where it begins")

    def check(self) -> None:
        """Check that no completed set is unreported, after some quiet intervals."""
        if self.store.stored is None:
            return
        missing = [
            one.name
            for one in self.world.cloud.backups
            if (one.instance, one.project) == (self.instance, "p1")
            and one.deleted is None
            and one.is_good(self.world.clock.now - 3 * self.interval)
            and one.done_at >= self.store.stored
            and one.name not in self.reported
        ]
        self.judge.must(not missing, f"the watch has not reported {missing}")
