"""Indexes from a text to the numbers of the items that bear it."""


def discard_from(index: dict[str, set[int]], key: str, number: int) -> None:
    """Take one number out of an index; a key without numbers goes too, so that an index never grows for good."""
    numbers = index.get(key)
    if numbers is not None:
        numbers.discard(number)
        if not numbers:
            del index[key]
