"""How far a job is: plain counters that the job writes and whoever shows them polls."""


class Progress:
    """Counters of one run of a job. They only grow; a total of 0 is not known (yet)."""

    __slots__ = (
        "bytes", "current", "doing", "files", "findings", "stored_bytes", "total_bytes",
        "total_files",
    )  # fmt: skip

    def __init__(self) -> None:
        self.doing = ""
        "the stage that the job is in, in a word or two"
        self.current = b""
        "what it is being done to, for people"
        self.files = 0
        "entries that are done, directories not among them"
        self.bytes = 0
        "plain bytes of contents that are done"
        self.total_files = 0
        self.total_bytes = 0
        self.stored_bytes = 0
        "bytes that are durable in the store"
        self.findings = 0
