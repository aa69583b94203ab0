"""Conversion between entries and rows: kinds and reasons are numbers, digests are octets."""

from typing import Final, TypeAlias

from validators.suppression import Kind, Suppression, SuppressionReason, key

Row: TypeAlias = tuple[bytes, str, int, int, str | bytes, str, float, float | None]
"""key, scope, kind, reason, value, source, created, expires: the columns of `suppression`."""

KINDS: Final = (Kind.ADDRESS, Kind.DOMAIN, Kind.SHA256, Kind.MD5)
REASONS: Final = (
    SuppressionReason.HARD_BOUNCE,
    SuppressionReason.COMPLAINT,
    SuppressionReason.UNSUBSCRIBE,
    SuppressionReason.TRAP,
    SuppressionReason.MANUAL,
    SuppressionReason.IMPORT,
)
"""The position is the number in the file: add at the end only, and raise the schema version."""

_KIND_NUMBERS: Final = {kind: number for number, kind in enumerate(KINDS)}
_REASON_NUMBERS: Final = {reason: number for number, reason in enumerate(REASONS)}
_DIGESTS: Final = frozenset({Kind.SHA256, Kind.MD5})


def reason_number(reason: SuppressionReason) -> int:
    """Return the number by which a reason is stored."""
    return _REASON_NUMBERS[reason]


def to_row(entry: Suppression) -> Row:
    """Convert an entry to a row."""
    kind = entry.kind
    value = bytes.fromhex(entry.value) if kind in _DIGESTS else entry.value
    return (
        key(kind, entry.value),
        entry.scope,
        _KIND_NUMBERS[kind],
        _REASON_NUMBERS[entry.reason],
        value,
        entry.source,
        entry.created,
        entry.expires,
    )


def from_row(row: Row) -> Suppression:
    """Convert a row to an entry."""
    _, scope, kind, reason, value, source, created, expires = row
    text = value.hex() if isinstance(value, bytes) else value
    return Suppression(KINDS[kind], text, scope, REASONS[reason], source, created, expires)
