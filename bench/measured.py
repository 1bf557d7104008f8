"""Runs one command and writes what it took, as JSON, to a descriptor: `measured.py FD COMMAND…`.

A process of its own, and a small one: the kernel counts the memory of the process that starts a
program as that program's, until it has more itself.
"""

import json
import os
import shutil
import sys
import time


def main() -> None:
    descriptor, command = int(sys.argv[1]), sys.argv[2:]
    os.set_inheritable(descriptor, False)
    program = shutil.which(command[0]) or command[0]
    began = time.monotonic()
    process = os.posix_spawn(program, command, os.environ)
    _, status, usage = os.wait4(process, 0)
    taken = {
        "wall": time.monotonic() - began,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak": usage.ru_maxrss / 1024,
        "status": os.waitstatus_to_exitcode(status),
    }
    os.write(descriptor, json.dumps(taken).encode())


if __name__ == "__main__":
    main()
