"""Every kind of record, and the rows that it makes."""

from pathlib import Path

import pytest

from snapfs.errors import DeltaVoidError, FormatError, LogCutError, SourceMovedError
from snapfs.formats.records import (
    Body,
    Condemn,
    Delete,
    Forget,
    Gone,
    New,
    Recall,
    Tag,
    Upgrade,
)
from snapfs.metadata.fates import CONDEMNED, DELETING, GONE
from snapfs.metadata.replica import Replica
from snapfs.model.identity import Commit
from tests.formats.samples import REPOSITORY
from tests.metadata.making import add, condemn, dump, ingest, name, open_replica, published

PACK = name("pack")


@pytest.fixture
def replica(tmp_path: Path) -> Replica:
    return open_replica(tmp_path / "replica.db")


def fate(replica: Replica, pack: bytes = PACK) -> tuple[int, int] | None:
    return replica.db.row("SELECT state, record FROM fate WHERE name = ?", (pack,))


def test_init_states_what_the_repository_is(replica: Replica) -> None:
    assert replica.fact("repository") == REPOSITORY.hex()
    assert replica.fact("chunker") == '["fastcdc",1,2,3]'
    assert replica.fact("read") == replica.fact("write") == "[]"
    assert replica.tip().number == 1


def test_upgrades_add_up(replica: Replica) -> None:
    add(replica, Upgrade(("a",), ("x",)))
    add(replica, Upgrade(("b", "a"), ()))
    assert replica.fact("read") == '["a","b"]'
    assert replica.fact("write") == '["x"]'


def test_an_ingest_makes_source_snapshot_and_tags(replica: Replica) -> None:
    first = add(replica, ingest(tags=("t", "t")))
    second = add(replica, ingest(head=first, complete=False))
    add(replica, ingest(source="home"))
    assert replica.db.rows("SELECT * FROM source") == [
        (1, "web", "root", second, 1),
        (2, "web", "home", 4, 2),
    ]
    assert replica.db.rows("SELECT * FROM snapshot") == [
        (2, 1, 1, name("attempt 2"), 7, 1, None),
        (3, 1, 1, name("attempt 3"), 7, 0, None),
        (4, 2, 2, name("attempt 4"), 7, 1, None),
    ]
    assert replica.db.rows("SELECT * FROM tag") == [(2, "t")]
    assert replica.attempt(name("attempt 3")) == 3


def test_tags_are_added_and_removed(replica: Replica) -> None:
    add(replica, ingest(tags=("old",)))
    add(replica, Tag((name("attempt 2"), name("unknown")), ("new", "old"), ()))
    add(replica, Tag((name("attempt 2"),), (), ("old", "never")))
    assert replica.db.rows("SELECT * FROM tag") == [(2, "new")]


def test_forget_and_recall(replica: Replica) -> None:
    add(replica, ingest())
    add(replica, ingest(head=2))
    add(replica, Forget((name("attempt 2"),)))
    assert replica.db.rows("SELECT number, forgotten FROM snapshot") == [(2, 4), (3, None)]
    assert replica.db.row("SELECT head, anchor FROM source") == (3, 1)
    add(replica, Recall((name("attempt 2"),)))
    assert replica.db.rows("SELECT number, forgotten FROM snapshot") == [(2, None), (3, None)]


def test_a_source_without_snapshots_begins_anew(replica: Replica) -> None:
    add(replica, ingest())
    add(replica, ingest(source="home"))
    add(replica, Forget((name("attempt 2"),)))
    assert replica.db.rows("SELECT number, head, anchor FROM source") == [(1, 4, 3), (2, 3, 2)]
    with pytest.raises(SourceMovedError):
        replica.check_body(ingest(head=2))
    add(replica, ingest(head=4))
    assert replica.db.row("SELECT anchor FROM snapshot WHERE number = 5") == (3,)


def test_the_way_out_of_a_pack(replica: Replica) -> None:
    add(replica, condemn(PACK))
    assert fate(replica) == (CONDEMNED, 2)
    add(replica, Delete((PACK,)))
    assert fate(replica) == (DELETING, 3)
    add(replica, Gone((PACK,)))
    assert fate(replica) == (GONE, 3)


def test_nothing_leads_back_once_a_pack_is_being_deleted(replica: Replica) -> None:
    add(replica, condemn(PACK))
    add(replica, Delete((PACK,)))
    add(replica, condemn(PACK))
    assert fate(replica) == (DELETING, 3)
    add(replica, Gone((PACK,)))
    for body in (condemn(PACK), Delete((PACK,)), Gone((PACK,))):
        if not isinstance(body, Delete):
            add(replica, body)
        assert fate(replica) == (GONE, 3)


def test_a_second_sentence_does_not_renew_the_first(replica: Replica) -> None:
    add(replica, condemn(PACK))
    add(replica, condemn(PACK))
    assert fate(replica) == (CONDEMNED, 2)


@pytest.mark.parametrize(
    "body",
    [
        ingest(rescued=(PACK,)),
        Recall((), (PACK,)),
        Delete((), rescued=(PACK,)),
    ],
)
def test_condemned_packs_are_rescued(replica: Replica, body: Body) -> None:
    add(replica, condemn(PACK))
    replica.check_body(body)
    add(replica, body)
    assert fate(replica) is None


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize(
    "body",
    [
        ingest(rescued=(PACK,)),
        ingest(packs=(PACK,)),
        Recall((), (PACK,)),
        Condemn((), New(), (), (PACK,)),
    ],
)
def test_nothing_may_rely_on_a_pack_that_is_being_deleted(
    replica: Replica, body: Body, gone: bool
) -> None:
    add(replica, condemn(PACK))
    add(replica, Delete((PACK,)))
    if gone:
        add(replica, Gone((PACK,)))
    with pytest.raises(DeltaVoidError, match="is being deleted"):
        replica.check_body(body)
    before = dump(replica)
    with pytest.raises(FormatError, match="is void"):
        add(replica, body)
    assert dump(replica) == before


def test_a_rescued_pack_is_not_deleted(replica: Replica) -> None:
    add(replica, condemn(PACK))
    replica.check_body(Delete((PACK,)))
    add(replica, ingest(rescued=(PACK,)))
    with pytest.raises(DeltaVoidError, match="is in use"):
        replica.check_body(Delete((PACK,)))


def test_numbers_are_taken_in_the_order_of_the_log_and_never_again(replica: Replica) -> None:
    new = New(packs=1, segments=2, blocks=3, nodes=4, lists=5, directories=6)
    add(replica, ingest(new=new))
    add(replica, Forget((name("attempt 2"),)))
    add(replica, Condemn((PACK,), New(packs=1, segments=1, blocks=1), (), ()))
    add(replica, Delete((PACK,)))
    add(replica, Gone((PACK,)))
    add(replica, ingest(head=3, new=new))
    columns = "blocks, segments, packs, nodes, lists, directories"
    rows = replica.db.rows(f"SELECT {columns} FROM log WHERE number IN (2, 4, 7)")
    # Directories: one anchor before record 2, one more when the source began anew.
    assert rows == [(1, 1, 1, 2, 1, 2), (4, 3, 2, 6, 6, 9), (5, 4, 3, 6, 6, 9)]
    assert dict(replica.db.rows("SELECT * FROM counter")) == {
        "blocks": 8, "segments": 6, "packs": 4, "nodes": 10, "lists": 11, "directories": 15,
        "sources": 2,
    }  # fmt: skip


def test_numbers_beyond_the_format_are_refused(replica: Replica) -> None:
    for new in (New(nodes=2**60), New(directories=2**63 - 1), New(blocks=2**63 - 1)):
        before = dump(replica)
        with pytest.raises(FormatError, match="used up"):
            add(replica, ingest(new=new))
            add(replica, ingest(head=2))
        assert dump(replica)["counter"] == before["counter"] or new.directories


def test_records_that_are_known_are_passed_over(replica: Replica) -> None:
    records = []
    for _ in range(3):
        records.append(published(replica, Tag((), (), ())))
        replica.apply_heads(records[-1:])
    before = dump(replica)
    replica.apply_heads(records)
    assert dump(replica) == before


def test_one_bad_record_of_several_changes_nothing(replica: Replica) -> None:
    good = published(replica, ingest())
    replica_before = dump(replica)
    bad = published(replica, ingest())
    bad = type(bad)(Commit(3), bad.hash, bad.head)
    with pytest.raises(LogCutError):
        replica.apply_heads([good, bad])
    assert dump(replica) == replica_before
