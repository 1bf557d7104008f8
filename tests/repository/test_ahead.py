"""A key that is derived ahead is the key; a wrong guess costs time and nothing else."""

import pytest

from snapfs.errors import UsageError
from snapfs.formats.slots import Derivation, Recipe, SlotKind, derive
from snapfs.repository import ahead
from snapfs.repository.ahead import Ahead

_QUICK = Derivation(memory=19 * 1024, time=1, lanes=1)
RECIPE = Recipe(SlotKind.PASSPHRASE, _QUICK, "AAAAAAAAAAAAAAAAAAAAAA==")
OTHER = Recipe(SlotKind.PASSPHRASE, _QUICK, "AQEBAQEBAQEBAQEBAQEBAQ==")


def _begun(recipe: Recipe, secret: str) -> Ahead:
    begun = Ahead(secret, recipe)
    begun.begin()
    return begun


def test_what_was_derived_ahead_is_not_derived_again(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = _begun(RECIPE, "secret")
    expected = derive(RECIPE, "secret")
    assert begun.derive_key(RECIPE, "secret") == expected
    monkeypatch.delattr(ahead, "derive")
    assert begun.derive_key(RECIPE, "secret") == expected


@pytest.mark.parametrize(("recipe", "secret"), [(OTHER, "secret"), (RECIPE, "another")])
def test_another_key_is_derived_as_ever(recipe: Recipe, secret: str) -> None:
    assert _begun(RECIPE, "secret").derive_key(recipe, secret) == derive(recipe, secret)


def test_what_fails_ahead_fails_where_it_is_asked_for() -> None:
    code = Recipe(SlotKind.RECOVERY, _QUICK, RECIPE.salt)
    begun = _begun(code, "no recovery code")
    with pytest.raises(UsageError, match="recovery code"):
        begun.derive_key(code, "no recovery code")


def test_another_process_takes_it_over(monkeypatch: pytest.MonkeyPatch) -> None:
    for secret in ("secret", "with a byte that is no text: \udcff"):
        handed = Ahead.take_over(_begun(RECIPE, secret).hand_over())
        assert handed.secret == secret
        expected = derive(RECIPE, secret)
        with monkeypatch.context() as patched:
            patched.setattr("snapfs.repository.ahead.derive", lambda *_: b"derived again")
            assert handed.derive_key(RECIPE, secret) == expected
            assert handed.derive_key(RECIPE, "another") == b"derived again"


def test_a_secret_alone_is_handed_over_too() -> None:
    handed = Ahead.take_over(Ahead("typed").hand_over())
    assert handed.secret == "typed"
    assert handed.derive_key(RECIPE, "typed") == derive(RECIPE, "typed")


def test_what_was_not_begun_is_derived_when_it_is_asked_for() -> None:
    assert Ahead("secret", RECIPE).derive_key(RECIPE, "secret") == derive(RECIPE, "secret")
    assert Ahead("secret", RECIPE).derive_key(OTHER, "another") == derive(OTHER, "another")
    handed = Ahead.take_over(Ahead("secret", RECIPE).hand_over())
    assert handed._key == derive(RECIPE, "secret")


def test_another_key_is_derived_after_this_one() -> None:
    """Two derivations at once fail: as where the slot that opened last was removed elsewhere."""
    real = Recipe(SlotKind.PASSPHRASE, Derivation(), RECIPE.salt)
    for _ in range(3):
        begun = _begun(real, "secret")
        assert begun.derive_key(real, "another") == derive(real, "another")
