"""What NodeStageVolume asks for, checked, in the forms in which it is kept: intent and stage record. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rdscsi import names, tuning
from rdscsi.errors import AlreadyExists, InvalidRequest, UnexpectedAnswer
from rdscsi.journal import Json, StageRecord
from rdscsi.journal.records import StageState
from rdscsi.model import DEFAULT_TUNING, AccessType, Portal, StageRequest, Tuning
from rdscsi.node import options
from rdscsi.node.machine import parse_portals


@dataclass(frozen=True, slots=True)
class Wish:
    """A volume staged somewhere in some way. `fs_type` empty: whatever is there, or the default for a blank one."""

    volume_id: str
    staging_target_path: str
    subnqn: str
    portals: tuple[Portal, ...]
    access_type: AccessType
    access_mode: str
    fs_type: str
    options: tuple[str, ...]
    format_permit: str
    tuning: Tuning = DEFAULT_TUNING

    @property
    def readonly(self) -> bool:
        """Whether nothing may be written, not even to make a filesystem."""
        return options.READONLY in self.options

    def continues(self, record: StageRecord) -> bool:
        """Tell whether a record is of this very staging: the same epoch at the same path."""
        return (record.subnqn, record.staging_target_path) == (self.subnqn, self.staging_target_path)

    def as_json(self) -> dict[str, Json]:
        """Return the intent's request. It holds allowed mount options only, so nothing secret."""
        # Left out when there is nothing: an intent of the version before it knew this key is then the same wish.
        tuned: dict[str, Json] = {"volume_context": told} if (told := tuning.render(self.tuning)) else {}
        return {
            "staging_target_path": self.staging_target_path,
            "subnqn": self.subnqn,
            "portals": self.shown_portals,
            "access_type": self.access_type.value,
            "access_mode": self.access_mode,
            "fs_type": self.fs_type,
            "options": self.options,
            "format_permit": self.format_permit,
            **tuned,
        }

    @property
    def shown_portals(self) -> str:
        """The portals as the record keeps them."""
        return ",".join(map(str, self.portals))

    def record(self, former: StageRecord | None, *, state: StageState, now: float) -> StageRecord:
        """Return the record of this wish. What was proven under the same NQN is kept; the size in any case."""
        same = former is not None and former.subnqn == self.subnqn
        return StageRecord(
            volume_id=self.volume_id,
            staging_target_path=self.staging_target_path,
            subnqn=self.subnqn,
            portals=self.shown_portals,
            access_type=self.access_type.value,
            access_mode=self.access_mode,
            fs_type=former.fs_type if former is not None and same else self.fs_type,
            mount_flags=json.dumps(self.options),
            state=state,
            size_bytes=former.size_bytes if former is not None else 0,
            identity=former.identity if former is not None and same else "",
            format_permit=self.format_permit,
            formatted=former is not None and same and former.formatted,
            updated_at=now,
            volume_context=json.dumps(tuning.render(self.tuning)),
        )


def of_request(request: StageRequest, staging_target_path: str, slot: str) -> Wish:
    """Check a request whose staging path was made canonical. Raises InvalidRequest."""
    capability, context = request.capability, request.publish_context
    if names.slot_of_subnqn(context.subnqn) != slot:
        expected = f"the publish_context of {request.volume_id}, as ControllerPublishVolume gave it"
        raise InvalidRequest("publish_context[subnqn]", context.subnqn, expected)
    flags = options.chosen("volume_capability.mount.mount_flags", capability.mount_flags, capability.fs_type)
    return Wish(
        volume_id=request.volume_id,
        staging_target_path=staging_target_path,
        subnqn=context.subnqn,
        portals=context.portals,
        access_type=capability.access_type,
        access_mode=capability.access_mode.value,
        fs_type=capability.fs_type,
        options=options.with_access(flags, capability.access_mode, readonly=context.readonly),
        format_permit=context.format_permit,
        tuning=request.tuning,
    )


def of_intent(volume_id: str, request: Mapping[str, Json]) -> Wish:
    """Read an intent's request. Raises UnexpectedAnswer for one that this version did not write."""
    try:
        flags = request["options"]
        if not isinstance(flags, Sequence):
            raise ValueError(flags)
        told = request.get("volume_context", {})
        if not isinstance(told, Mapping):
            raise ValueError(told)
        return Wish(
            volume_id=volume_id,
            staging_target_path=str(request["staging_target_path"]),
            subnqn=str(request["subnqn"]),
            portals=parse_portals(str(request["portals"])),
            access_type=AccessType(request["access_type"]),
            access_mode=str(request["access_mode"]),
            fs_type=str(request["fs_type"]),
            options=tuple(map(str, flags)),
            format_permit=str(request["format_permit"]),
            tuning=tuning.parse("volume_context", {key: str(value) for key, value in told.items()}),
        )
    except (KeyError, ValueError, InvalidRequest) as error:
        raise UnexpectedAnswer(f"{volume_id}: its intent to stage cannot be read: {error!r}") from error


def of_record(record: StageRecord) -> Wish:
    """Return the wish that led to a record."""
    return Wish(
        volume_id=record.volume_id,
        staging_target_path=record.staging_target_path,
        subnqn=record.subnqn,
        portals=parse_portals(record.portals),
        access_type=AccessType(record.access_type),
        access_mode=record.access_mode,
        fs_type=record.fs_type,
        options=tuple(json.loads(record.mount_flags)),
        format_permit=record.format_permit,
        tuning=tuning.parse("volume_context", json.loads(record.volume_context)),
    )


def refuse_other(record: StageRecord | None, wish: Wish) -> None:
    """Raise AlreadyExists when the volume is staged in another way under the same NQN.

    A record that was rebuilt knows neither access mode nor options; an empty fs_type takes what is there. How it is
    connected is no difference: a connection that stands keeps what it was made with.
    """
    if record is None or record.state != "staged" or record.subnqn != wish.subnqn:
        return
    known = json.loads(record.mount_flags) if record.access_mode else wish.options
    differences = [
        f"{name} {ours!r}, not {theirs!r}"
        for name, ours, theirs in (
            ("staging_target_path", record.staging_target_path, wish.staging_target_path),
            ("access_type", record.access_type, wish.access_type.value),
            ("access_mode", record.access_mode or wish.access_mode, wish.access_mode),
            ("fs_type", record.fs_type if wish.fs_type else "", wish.fs_type),
            ("mount_flags", tuple(known), wish.options),
        )
        if ours != theirs
    ]
    if differences:
        raise AlreadyExists(f"{wish.volume_id} is staged with {'; '.join(differences)}")
