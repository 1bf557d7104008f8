"""What is not a function of its arguments."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class World:
    """Time and chance. Tests bring their own."""

    now_ns: Callable[[], int] = time.time_ns
    random: Callable[[int], bytes] = os.urandom
