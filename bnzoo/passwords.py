"""Masking of passwords in texts for others: reports, messages, logs."""

import re

MASK = "***"
# The masking of SQLAlchemy needs a URL without mistakes. If the whole text is a URL, the password extends to the
# last @, and may contain spaces.
_URL = re.compile(r"(\A\S*?//[^:/@\s]*:).*@", re.DOTALL)
_IN_TEXT = re.compile(r"(//[^:/@\s]*:)(?:\S*@|[^@]*@)")
_WORD = r"(?:pass|pwd|secret|token|credential|api_?key)"
_WITHOUT_SCHEME = re.compile(r"(\b[\w.%+-]+:)[^\s@/:]\S*@")
# `password=secret`; in the query of a URL the signs = and & may be percent-encoded
_ASSIGNED = re.compile(
    rf"(\b\w*{_WORD}[\w-]*)(?:(=)('[^']*'|\"[^\"]*\"|[^\s&'\"]+)|(%3D)(?:(?!%3B|%26)[^\s&'\"])+)", re.IGNORECASE
)
_HARMLESS = re.compile(r"class_token|token_|_tokens|passfile", re.IGNORECASE)
_OPTION = re.compile(rf"--?[\w-]*{_WORD}[\w-]*", re.IGNORECASE)


def mask_passwords(text: str) -> str:
    """Replace the passwords in a text by `***`.

    Args:
        text: String. Passwords are recognized in URLs, `scheme://user:password@host`, and in assignments,
            `password=...`, also in the query of a URL.

    Returns:
        The text without them.

    Examples:
    >>> mask_passwords("postgresql://me:secret@host/studies")
    'postgresql://me:***@host/studies'
    """
    for pattern in (_URL, _IN_TEXT, _WITHOUT_SCHEME):
        text = pattern.sub(rf"\1{MASK}@", text)
    return _ASSIGNED.sub(_masked, text)


def is_password_option(argument: str) -> bool:
    """Return whether an argument of a command line is an option that takes a password."""
    return bool(_OPTION.fullmatch(argument)) and not _HARMLESS.search(argument)


def _masked(match: re.Match[str]) -> str:
    return match[0] if _HARMLESS.search(match[1]) else f"{match[1]}{match[2] or match[4]}{MASK}"
