"""The commands. Each module has `command`, and is imported when that command is called."""
