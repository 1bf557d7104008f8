"""Telling systemd that a service of Type=notify is ready."""

import os
import socket


def ready() -> None:
    """Say so to whoever started this as a service, if anyone did."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    # A leading @ stands for the NUL byte of Linux's abstract names.
    name = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
        try:
            connection.sendto(b"READY=1", name)
        except OSError:
            return
