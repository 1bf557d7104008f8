"""A helper that does not end with its job."""

import time

time.sleep(60)
