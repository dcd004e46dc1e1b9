"""Who may log in and do what: users, their keys and passwords, groups and their policies, kept as the console's rows.

Names that the SSH server lets in by its own list and that are no users of the appliance may do everything.
"""

from __future__ import annotations

from collections.abc import Mapping

from rdscsi.simulator import texts
from rdscsi.simulator.console.failures import ConsoleError
from rdscsi.simulator.options import User
from rdscsi.simulator.storage.records import Records
from rdscsi.simulator.storage.store import Plain
from rdscsi.simulator.words import words

POLICIES = words(
    "local telnet ssh ftp reboot read write policy test winbox password web sniff sensitive api romon rest-api"
)
_READING = frozenset(words("get print find export read head tail recursive-print"))
_TESTING = frozenset(words("monitor monitor-traffic test nvme-discover scan smart-info"))
_GROUPS = {"read": "!ftp,!write,!policy", "write": "!ftp,!policy", "full": ""}
_BAD_KEY_TYPES = ("ecdsa-", "sk-")


def canonical(policy: str) -> str:
    """All policies in order, those that are not granted with a `!`. Raises ConsoleError for unknown words."""
    given = [word for word in policy.replace(";", ",").split(",") if word]
    unknown = {word.removeprefix("!") for word in given} - set(POLICIES)
    if unknown:
        raise ConsoleError(texts.NO_MATCH_OF_VALUE(name="policy"))
    granted = {word for word in given if not word.startswith("!")}
    return ",".join([*(word for word in POLICIES if word in granted),
                     *(f"!{word}" for word in POLICIES if word not in granted)])  # fmt: skip


def group_row(row: Mapping[str, Plain]) -> Mapping[str, Plain]:
    return {**row, "policy": canonical(str(row.get("policy", "")))}


def key_row(row: Mapping[str, Plain]) -> Mapping[str, Plain]:
    """A public key's row; RouterOS takes RSA and ed25519 keys of users, no ECDSA (§5)."""
    kind, _, rest = str(row.get("key", "")).strip().partition(" ")
    if not rest or kind.startswith(_BAD_KEY_TYPES):
        raise ConsoleError(texts.BAD_KEY_FILE())
    return {**row, "key-type": kind.removeprefix("ssh-"), "info": rest.partition(" ")[2]}


def needed_policy(menu: str, command: str) -> str:
    """The policy without which a command answers `not enough permissions (9)`."""
    if command in _READING:
        return "read"
    if command in _TESTING:
        return "test"
    if menu.startswith("/user"):
        return "policy"
    return "reboot" if (menu, command) in (("/system", "reboot"), ("/system", "shutdown")) else "write"


class Accounts:
    """The rows of `/user`, `/user/group` and `/user/ssh-keys`, as the rest of the appliance asks about them."""

    def __init__(self, records: Records, users: tuple[User, ...]) -> None:
        self._records = records
        self._known: dict[str, frozenset[str]] = {}
        self._known_at = -1
        records.seed("/user/group", tuple(_default_group(name, denied) for name, denied in _GROUPS.items()))
        records.seed("/user", tuple(_user_row(user) for user in users))
        records.seed(
            "/user/ssh-keys", tuple(key_row({"user": user.name, "key": key}) for user in users for key in user.keys)
        )

    def _find(self, name: str) -> Mapping[str, Plain] | None:
        return next((row for row in self._records.rows("/user").values() if row["name"] == name), None)

    def knows(self, name: str) -> bool:
        """Whether the name is a user of the appliance."""
        return self._find(name) is not None

    def policies(self, name: str) -> frozenset[str]:
        """What the user may do; a disabled user nothing, a stranger that was let in everything."""
        if self._known_at != self._records.revision:
            self._known.clear()
            self._known_at = self._records.revision
        found = self._known.get(name)
        if found is None:
            found = self._known[name] = self._policies(name)
        return found

    def _policies(self, name: str) -> frozenset[str]:
        user = self._find(name)
        if user is None:
            return frozenset(POLICIES)
        if user.get("disabled") is True:
            return frozenset()
        groups = self._records.rows("/user/group").values()
        policy = next((str(row["policy"]) for row in groups if row["name"] == user["group"]), "")
        return frozenset(policy.split(",")) & frozenset(POLICIES)

    def keys(self, name: str) -> list[str]:
        """The user's public keys in OpenSSH's form."""
        return [str(row["key"]) for row in self._records.rows("/user/ssh-keys").values() if row["user"] == name]

    def password_opens(self, name: str, password: str, *, beside_keys: bool) -> bool:
        """Whether the password lets the user in: beside a key only if that is set. An empty one takes any (§13.2)."""
        user = self._find(name)
        if user is None or (self.keys(name) and not beside_keys):
            return False
        return user.get("password") in ("", password)


def _default_group(name: str, denied: str) -> Mapping[str, Plain]:
    refused = {word.removeprefix("!") for word in denied.split(",")}
    return {
        "name": name,
        "policy": canonical(",".join(word for word in POLICIES if word not in refused)),
        "skin": "default",
    }


def _user_row(user: User) -> Mapping[str, Plain]:
    return {"name": user.name, "group": user.group, "password": user.password, "address": "", "disabled": False}
