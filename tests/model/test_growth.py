"""Growth is told where it is, not at each directory above it."""

from snapfs.model.growth import Growth, most_grown, with_below


def test_sums_go_up_to_the_root() -> None:
    sums = with_below([(b"/a/b", 10), (b"/a", -3), (b"/", 1), (b"/c", 5)])
    assert sums == {b"/a/b": 10, b"/a": 7, b"/": 13, b"/c": 5}


def test_what_one_directory_below_explains_is_left_out() -> None:
    sums = with_below([(b"/var/log", 1000), (b"/var/cache", 50), (b"/srv", 30), (b"/tmp", -500)])
    assert most_grown(sums, 10) == [
        Growth(b"/var/log", 1000), Growth(b"/var/cache", 50), Growth(b"/srv", 30),
    ]  # fmt: skip


def test_growth_that_is_spread_is_told_at_the_directory_above() -> None:
    sums = with_below([(b"/a/%d" % number, 10) for number in range(10)])
    assert most_grown(sums, 1) == [Growth(b"/a", 100)]
    assert len(most_grown(sums, 99)) == 11
    assert most_grown({}, 5) == []
