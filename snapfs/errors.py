"""The one tree of errors.

An error is raised with facts: what happened to which thing, and what its user can do next.
Foreign exceptions (botocore, apsw, OSError) become one of these where they enter the program.
`exit_status` is what the command ends with.
"""


class SnapfsError(Exception):
    """Something that a user of snapfs is told about, in one or two lines.

    `what` names the thing and the failure; `hint` is the next step, and may be empty.
    """

    exit_status = 1

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what}\n{self.hint}" if self.hint else self.what


class UsageError(SnapfsError):
    """The command's words do not fit together, or name something that does not exist."""

    exit_status = 2


# --- the repository as a whole


class NoRepositoryError(SnapfsError):
    """There is no repository at this place."""

    exit_status = 10


class RepositoryExistsError(SnapfsError):
    """`init` found a repository where it was to create one."""


class NewerFormatError(SnapfsError):
    """The repository needs a newer program than this one."""


class WrongPassphraseError(SnapfsError):
    """No key slot opens with this passphrase or recovery code."""

    exit_status = 12


class WrongRepositoryError(SnapfsError):
    """The place holds another repository than the one that this machine knew there."""


class LogCutError(SnapfsError):
    """The commit log has a gap, or is shorter or other than this machine knows it to have been."""


class LogGapError(LogCutError):
    """A record of the commit log is lost or damaged; what comes before it is known."""


class ViewDamagedError(SnapfsError):
    """The local database does not agree with the log that it is a view of."""


class DeltaVoidError(SnapfsError):
    """What a delta was computed against holds no more: its source must be scanned again."""


class UploadVoidError(DeltaVoidError):
    """What was uploaded for a delta is being deleted: its writer slept for days. Begin anew."""


class SourceMovedError(DeltaVoidError):
    """Another process committed to the same source first."""


class BusyError(SnapfsError):
    """Another process of this machine is at the same work."""


class SnapshotNotFoundError(SnapfsError):
    """No snapshot, or more than one, answers to what the user wrote."""


class PathNotFoundError(SnapfsError):
    """A snapshot has nothing at this path."""


# --- bytes


class FormatError(SnapfsError):
    """Bytes that are not what their place says they are: damaged, cut, forged or unknown."""


class DamagedError(SnapfsError):
    """Content of the repository is lost or damaged, and cannot be given back."""


# --- stores


class StoreError(SnapfsError):
    """A store did not do what was asked. Trying again does not help."""

    exit_status = 11


class StoreUnavailableError(StoreError):
    """A store could not be reached, was busy, or broke off: trying again may help."""


class ObjectTooShortError(StoreError):
    """The object is there, but does not reach as far as the range that was asked for.

    Callers know the sizes of what they read: the object was cut, or is another than they think.
    """


class StoreFullError(StoreError):
    """The store has no room left."""


class ObjectNotFoundError(StoreError):
    """The store has no object of this name."""


class ObjectExistsError(StoreError):
    """A put that was to create an object found one of this name: nothing was written."""


class PutConflictError(StoreError):
    """A conditional put was refused while another was under way: whether it took effect is open.

    S3 answers 409 (ConditionalRequestConflict). The caller reads the name to learn what holds.
    """


# --- the machine


class LocalError(SnapfsError):
    """The state or cache directory of this machine cannot be used (full, read-only, damaged)."""


class MountError(SnapfsError):
    """The file system could not be mounted or unmounted."""
