"""The exports of a simulated RDS on this machine: the targets of the loop and simulated backends.

`exports/<NQN, percent-encoded>` is a symbolic link to the backing file of each disk that is exported now.
"""

import errno
import os
from pathlib import Path
from urllib.parse import quote


def find_export(exports: Path, subnqn: str) -> Path | None:
    """Return the backing file that is exported under an NQN; None when it is not. Raises OSError."""
    try:
        target = Path(os.readlink(exports / quote(subnqn, safe="")))
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            raise
        return None
    return target if target.is_file() else None
