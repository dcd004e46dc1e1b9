"""The exports of a simulated RDS on this machine: the targets of the loop and simulated backends.

`exports/<NQN, percent-encoded>` is a symbolic link to the backing file of each disk that is exported now.
"""

import errno
import os
from pathlib import Path
from urllib.parse import quote

from rdscsi.errors import DeviceUnavailable


def find_export(exports: Path, subnqn: str) -> Path | None:
    """Return the backing file that is exported under an NQN; None when it is not. Raises OSError."""
    try:
        target = Path(os.readlink(exports / quote(subnqn, safe="")))
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            raise
        return None
    return target if target.is_file() else None


def is_exported(exports: Path, subnqn: str) -> bool:
    """Tell whether an NQN is exported, were it a file that is gone. Raises OSError.

    The links outlive the simulated RDS, so that one that is stopped withdraws nothing. Raises DeviceUnavailable where
    its directory is not: then nothing is known.
    """
    if os.path.lexists(exports / quote(subnqn, safe="")):
        return True
    if not exports.is_dir():
        raise DeviceUnavailable(f"{subnqn}: no simulated RDS has its exports in {exports}")
    return False
