"""Entries as rows: small numbers for kinds and reasons, octets for digests."""

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
"""A position is the number in the file: append only, and raise the schema version."""

_KIND_NUMBERS: Final = {kind: number for number, kind in enumerate(KINDS)}
_REASON_NUMBERS: Final = {reason: number for number, reason in enumerate(REASONS)}
_DIGESTS: Final = frozenset({Kind.SHA256, Kind.MD5})


def reason_number(reason: SuppressionReason) -> int:
    """Number a reason as it is stored."""
    return _REASON_NUMBERS[reason]


def to_row(entry: Suppression) -> Row:
    """Write an entry as a row."""
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
    """Read an entry from a row."""
    _, scope, kind, reason, value, source, created, expires = row
    text = value.hex() if isinstance(value, bytes) else value
    return Suppression(KINDS[kind], text, scope, REASONS[reason], source, created, expires)
