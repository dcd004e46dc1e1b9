"""Takes secrets out of a console line before it is logged or shown. Pure; where lines are rendered is `lines`."""

import re

# How property names end: password, nvme-tcp-server-password, secret, passphrase, private-key ... What comes before is
# not looked at: it costs a try at every letter of each line.
_SECRET = re.compile(
    r"""(?P<name>(?<![a-z])(?:password|passphrase|secret|private-key|key|token))(?P<equals>\s*=\s*)
        (?P<value>"(?:[^"\\]|\\.)*(?:"|\Z)|[^\s;}\])"]+)""",
    re.IGNORECASE | re.VERBOSE,
)


def redact(line: str) -> str:
    """Return the line with the value of every property that holds a secret replaced by `***`.

    An unterminated string is taken out to its end.
    """
    return _SECRET.sub(r"\g<name>\g<equals>***", line)
