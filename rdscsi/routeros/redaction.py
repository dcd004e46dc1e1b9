"""Takes secrets out of a console line before it is logged or shown. Pure; where lines are rendered is `lines`."""

import re

# Property names as RouterOS has them: password, nvme-tcp-server-password, secret, passphrase, private-key ...
_SECRET = re.compile(
    r"""(?P<name>(?<![a-z])(?:[a-z0-9]+-)*(?:password|passphrase|secret|private-key|key|token))(?P<equals>\s*=\s*)
        (?P<value>"(?:[^"\\]|\\.)*(?:"|\Z)|[^\s;}\])"]+)""",
    re.IGNORECASE | re.VERBOSE,
)


def redact(line: str) -> str:
    """Return the line with the value of every property that holds a secret replaced by `***`.

    An unterminated string is taken out to its end.
    """
    return _SECRET.sub(r"\g<name>\g<equals>***", line)
