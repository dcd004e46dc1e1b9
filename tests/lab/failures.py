"""What can go wrong with a machine, apart from the commands that run in it."""


class LabFailed(Exception):
    """The laboratory itself failed: no kernel, a machine that does not come up or died. Says what was seen last."""


class CannotRun(LabFailed):
    """This computer lacks what machines need; the text says what. Not raised for anything that was tried and failed."""
