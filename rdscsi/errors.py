"""The driver's errors. Imports nothing of ours; knows neither gRPC nor RouterOS.

Each class says when it is raised, what it does not mean, and what a person should do. `rdscsi.csi.status` maps
each class to a gRPC code, in one table. *Final* errors promise that nothing of ours is half made; the classes that
derive from `NotFinal` say "maybe", and the orchestrator goes on calling.
"""


class DriverError(Exception):
    """Every error that the driver raises on purpose. The message is meant for a person."""


class InvalidRequest(DriverError):
    """The request breaks a rule of the CSI specification or of this driver; names field, value and what is right."""

    def __init__(self, field: str, value: object, expected: str) -> None:
        super().__init__(f"{field}={value!r}: {expected}")
        self.field = field
        self.value = value
        self.expected = expected


class CapacityOutOfRange(InvalidRequest):
    """The capacity asked for cannot be met for any volume on this backend. Not a statement about free space."""


class InvalidToken(DriverError):
    """A `starting_token` that this driver did not hand out, or that has expired: list again from the start."""


class NotFound(DriverError):
    """The volume or node is proven absent. Never raised because a look-up failed."""


class AlreadyExists(DriverError):
    """The name is taken by an object made with different parameters. Nothing was changed."""


class NotPermittedNow(DriverError):
    """The object is in a state that forbids the call: published elsewhere, in use, mounted twice."""


class NotSupported(DriverError):
    """The driver, or this backend, does not offer what was asked; asking again will not help."""


class NotReachable(DriverError):
    """None of the nodes that a new volume is for reaches its backend. Nothing was made; other nodes may do."""


class Abandoned(DriverError):
    """A half-made volume whose caller did not come back in time was erased. Asking again makes it anew."""


class SettingsInvalid(DriverError):
    """The settings are wrong, all of the mistakes at once; the process ends with status 2."""

    def __init__(self, mistakes: "list[str]") -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class NotFinal(DriverError):
    """The outcome is open: something may still happen, or may have happened. The caller calls again."""


class Busy(NotFinal):
    """A different request for the same subject is running; nothing was done for this one."""


class OperationPending(NotFinal):
    """The journal holds unfinished work for this subject; it is finished or undone before anything else."""


class DeviceUnavailable(NotFinal):
    """The appliance or kernel facility cannot be reached; nothing was sent. Not a statement about any object."""


class ClusterUnavailable(NotFinal):
    """The Kubernetes API server could not be asked about a node; nothing was sent to the appliance."""


class OutcomeUnknown(NotFinal):
    """A command was sent and its answer was lost; it may have run, may be running, or may never run."""


class UnexpectedAnswer(OutcomeUnknown):
    """The answer cannot be read. Treated as unknown: a parser that guesses destroys data."""


class InventoryIncomplete(NotFinal):
    """The appliance has not been looked through since the start or its last reboot; nothing can be told yet."""


class Fenced(NotFinal):
    """Another controller holds the token on the appliance. This one stands by and changes nothing."""


class StandingBy(Fenced):
    """This controller does not hold the Lease. It waits for it, and changes nothing; nobody has to do anything."""


class Superseded(Fenced):
    """Another journal led since this one did. The process ends, and its next start puts this journal aside."""


class Quarantined(NotFinal):
    """This object contradicts its record; a person must look (`rdscsi journal show`). Others are not affected."""


class ShuttingDown(NotFinal):
    """The process is draining; the next one finishes the work."""


class Refused(DriverError):
    """The appliance answered no, and its words are kept. Proven to have changed nothing by the refused statement."""


class OutOfSpace(Refused):
    """The pool cannot hold the volume, by its free space or by what is promised already."""


class NotOurs(Refused):
    """Something that this cluster's driver did not make is in the way. It is never touched."""


class CommandFailed(DriverError):
    """A command on the node failed; `argv` holds no secret."""

    def __init__(self, argv: "tuple[str, ...]", status: int, output: str) -> None:
        super().__init__(f"{' '.join(argv)}: exit status {status}: {output.strip()[-500:]}")
        self.argv = argv
        self.status = status
        self.output = output


class FormatRefused(NotPermittedNow):
    """A filesystem is needed and mkfs is not proven safe (no permit, not blank, or unreadable). Data is untouched."""


class JournalFailed(NotFinal):
    """The journal cannot be written. The process ends; the next start recovers."""
