"""Volumes that this journal learned from the appliance and that no PersistentVolume names (docs/adr/0012).

A journal that was lost takes with it who had asked for what. A volume whose create nobody was told of stays when its
claim goes before the next controller comes: nobody will ever ask to delete it. It is shown to people, no more.
"""

import trio

from rdscsi.controller.backend import Backend, log
from rdscsi.controller.evidence import Claims
from rdscsi.errors import ClusterUnavailable
from rdscsi.journal import Change, VolumeRecord, changes
from rdscsi.journal.records import UNCLAIMED_META
from rdscsi.tags import never_let_in

WHY = "it was found on the appliance by a journal that knows nothing of its create, and no PersistentVolume names it"


class Unnamed:
    """Marks such volumes in the journal, and takes the mark off what is named after all."""

    def __init__(self, backend: Backend, claims: Claims | None) -> None:
        self._backend = backend
        self._claims = claims
        self._since = trio.current_time()
        self._named: set[str] = set()
        self._told = ""

    async def mark(self) -> None:
        """Look once, when whoever waits for an answer has had the time to ask again. Kubernetes may be away."""
        patience = self._backend.options.abandon_after
        if self._claims is None or trio.current_time() < self._since + patience:
            return
        doubtful = {one.volume_id: one for one in await self._backend.journal.volumes() if self._is_doubtful(one)}
        if not doubtful:
            return
        try:
            named = await self._claims.named(doubtful)
        except ClusterUnavailable as error:
            if str(error) != self._told:
                self._told = str(error)
                log.warning("who claims volumes of unknown origin is not known now", reason=self._told)
            return
        self._told = ""
        self._named |= {doubtful[one].backing for one in named}
        if found := [change for one in doubtful.values() for change in await self._change(one, one.volume_id in named)]:
            await self._backend.journal.commit(*found)

    def _is_doubtful(self, record: VolumeRecord) -> bool:
        """Nobody was ever let in, its name is not known, and it was not seen to be named. An import has its person."""
        known = record.csi_name or record.backing in self._named or record.backing in self._backend.imported
        return not known and record.state == "ready" and not record.quarantine and never_let_in(record.tag)

    async def _change(self, record: VolumeRecord, named: bool) -> list[Change]:
        key = UNCLAIMED_META + record.backing
        marked = await self._backend.journal.get_meta(key) is not None
        if marked == (not named):
            return []
        if named:
            return [changes.drop_meta(key)]
        log.warning("nobody claims it", volume_id=record.volume_id, reason=WHY)
        return [changes.put_meta(key, f"{self._backend.now():.0f} {WHY}")]
