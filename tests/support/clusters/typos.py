"""Typos in a mapping of mappings: one character of a key or of a word lost, doubled or swapped."""

import copy
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

Place = tuple[str | int, ...]


def places(value: Any, at: Place = ()) -> Iterator[tuple[Place, str]]:
    """Every key and every text, each with its place; a key's place ends with "key"."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield (*at, key), "key"
            yield from places(item, (*at, key))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from places(item, (*at, i))
    elif isinstance(value, str) and value:
        yield at, "text"


def with_typo(content: Any, place: Place, what: str, random: Random) -> Any:
    """A copy with a typo at a place."""
    changed = copy.deepcopy(content)
    holder: Any = changed
    *parents, last = place
    for parent in parents:
        holder = holder[parent]
    if what == "text":
        holder[last] = mistyped(holder[last], random)
        return changed
    items = [(mistyped(k, random) if k == last else k, v) for k, v in holder.items()]
    holder.clear()
    holder.update(items)
    return changed


def mistyped(text: str, random: Random) -> str:
    """A text that is nearly the same.

    >>> [mistyped("spot", Random(seed)) for seed in range(3)]
    ['spott', 'sopt', 'pot']
    """
    ways = {text[:i] + text[i + 1 :] for i in range(len(text))}
    ways |= {text[:i] + text[i] + text[i:] for i in range(len(text))}
    ways |= {text[:i] + text[i + 1] + text[i] + text[i + 2 :] for i in range(len(text) - 1)}
    return random.choice(sorted(way for way in ways if way.split() != text.split()))


def seeded(content: Any, n: int, seed: int, leave: Sequence[str] = ()) -> list[tuple[str, Any]]:
    """Copies of a content with a typo each, at places of their own.

    Args:
        content: Mappings and lists.
        n: Number of typos; all places where there are fewer.
        seed: Of places and typos.
        leave: Keys below which nothing is changed, such as texts of the user.
    """
    random = Random(seed)
    there = [(place, what) for place, what in places(content) if not set(leave) & set(place)]
    chosen = random.sample(there, min(n, len(there)))
    return [
        (f"{'.'.join(map(str, place))} ({what})", with_typo(content, place, what, random))
        for place, what in chosen
    ]
