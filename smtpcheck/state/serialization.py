"""Reports and messages as bytes, and back: equal to what they were.

Rules of this file:
- JSON in the names of the model, compressed by zlib: what a later version adds to the model has a default, and what an
  earlier one does not know is passed over. So each reads the other's reports.
- A report holds no token and no secret, and so no more do these bytes.
"""

import json
import zlib
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from smtpcheck.model.report import Report

_LEVEL = 1
_T = TypeVar("_T")


class UnreadableReportError(Exception):
    """Bytes that are no report or message, or one of a version that is too new."""


def pack(report: object) -> bytes:
    """Return the report, or another dataclass, as bytes."""
    try:
        text = _encoder.encode(report)
    except UnicodeEncodeError:  # a lone surrogate, as an issuer's JSON may spell one (RFC 8259 8.2)
        text = json.dumps(msgspec.to_builtins(report, enc_hook=_plain), separators=(",", ":")).encode()
    return zlib.compress(text, _LEVEL)


def unpack(packed: bytes) -> Report:
    """Return the report. Raises UnreadableReportError."""
    return unpack_as(packed, Report)


def unpack_as(packed: bytes, kind: type[_T]) -> _T:
    """Return the value of this dataclass. Raises UnreadableReportError."""
    try:
        return msgspec.convert(json.loads(zlib.decompress(packed)), kind)
    except (zlib.error, ValueError, TypeError, RecursionError) as error:
        raise UnreadableReportError(str(error)) from error


def _plain(value: object) -> dict[Any, Any]:
    """Return what the encoder does not know by itself: a mapping that is no dict."""
    if isinstance(value, Mapping):
        return dict(value)
    raise NotImplementedError


_encoder = msgspec.json.Encoder(enc_hook=_plain)
