"""AES-256-GCM (NIST SP 800-38D), the one cipher of all formats.

Its library is loaded at the first use: questions seal and open nothing, and it takes as long to
load as half of what they do.
"""


class UnsoundError(ValueError):
    """Not sealed with this key, nonce and additional data, or changed since."""


def encrypt(key: bytes, nonce: bytes, plain: bytes, bound: bytes) -> bytes:
    """Seal `plain`; `bound` is additional data. The tag of 16 bytes is at the end."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key).encrypt(nonce, plain, bound)


def decrypt(key: bytes, nonce: bytes, sealed: bytes | memoryview, bound: bytes) -> bytes:
    """Undo `encrypt`. Raises UnsoundError."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(key).decrypt(nonce, sealed, bound)
    except (InvalidTag, ValueError, OverflowError) as error:
        raise UnsoundError("the tag does not fit") from error
