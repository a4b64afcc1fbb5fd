"""The card service: look-up, search, and when it reads its bundle."""

import contextlib
import gc
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from msgspec import structs

from mantimon.cards.bundle import (
    SHIPPED_BUNDLE,
    CardBundle,
    encode_bundle,
    load_bundle,
    write_bundle,
)
from mantimon.cards.definition import Element
from mantimon.services.card_service import (
    CardBundleError,
    CardNotFoundError,
    CardQueryError,
    CardService,
    get_card_service,
)


@pytest.fixture(scope="module")
def service() -> CardService:
    return CardService().load()


def test_all_cards_are_served(service: CardService) -> None:
    """The bundle has 372 cards, and every one is found by its id."""
    assert len(service) == len(list(service)) == 372
    assert all(service.get_card(card.id) is card for card in service)


def test_an_unknown_card_is_none(service: CardService) -> None:
    """A card that does not exist is `None`, not an error."""
    assert service.get_card("m1-999-nobody") is None


def test_cards_come_in_the_order_of_their_ids(service: CardService) -> None:
    """A batch keeps the order it was asked in, has each card once and leaves out the missing."""
    first, second, *_ = service
    found = service.get_cards([second.id, "nobody", first.id, second.id])

    assert list(found.items()) == [(second.id, second), (first.id, first)]


def test_strict_names_every_missing_card(service: CardService) -> None:
    """A strict batch raises once, with all ids that no card has."""
    with pytest.raises(CardNotFoundError, match="'nobody', 'nothing'") as caught:
        service.get_cards(["nobody", next(iter(service)).id, "nothing"], strict=True)

    assert caught.value.ids == ("nobody", "nothing")


def test_a_strict_batch_of_known_cards_is_whole(service: CardService) -> None:
    """A strict batch without a missing card gives all of them; any iterable of ids will do."""
    assert len(service.get_cards((card.id for card in service), strict=True)) == 372


def test_one_id_is_not_a_batch(service: CardService) -> None:
    """A single string would be taken for its letters, and so is refused."""
    with pytest.raises(TypeError, match="use get_card"):
        service.get_cards("m1-001")


@pytest.mark.parametrize(("code", "count"), [("M1", 286), ("M1a", 86)])
def test_a_set_is_in_the_order_of_its_numbers(service: CardService, code: str, count: int) -> None:
    """A set gives all its cards, and a list that the caller may change."""
    service.get_cards_by_set(code).clear()

    assert [card.number for card in service.get_cards_by_set(code)] == [*range(1, count + 1)]


def test_an_unknown_set_lists_the_sets(service: CardService) -> None:
    """A set that does not exist is an error that says which ones do."""
    with pytest.raises(CardQueryError, match=r"'M9'; the sets are M1, M1a\."):
        service.get_cards_by_set("M9")


def test_sets_come_with_their_names(service: CardService) -> None:
    """The sets are listed in the order they came out."""
    assert [(s.code, s.cards) for s in service.sets] == [("M1", 286), ("M1a", 86)]


def test_stats_count_every_kind(service: CardService) -> None:
    """Each count adds up to the cards that have such a value, in the order of the enum."""
    stats = service.stats()

    assert stats.total == sum(stats.by_type.values()) == sum(stats.by_rarity.values()) == 372
    assert stats.by_set == {"M1": 286, "M1a": 86}
    assert list(stats.by_element) == list(Element)
    assert sum(stats.by_stage.values()) == sum(stats.by_element.values())
    assert stats.by_type["creature"] == sum(stats.by_stage.values())


def test_nothing_is_read_before_the_first_use(tmp_path: Path) -> None:
    """A service is made without looking at its directory; the first use says what is wrong."""
    service = CardService(tmp_path / "nowhere")

    with pytest.raises(CardBundleError, match="nowhere: is not a directory"):
        len(service)


def test_a_broken_bundle_serves_nothing(tmp_path: Path, service: CardService) -> None:
    """No method answers from half a bundle, not the first time and not the second."""
    first, *others = service.get_cards_by_set("M1")
    broken = structs.replace(first, hp=-1)
    write_bundle(tmp_path, encode_bundle({"M1": "First"}, [broken, *others]))
    half = CardService(tmp_path)

    for use in (len, list, CardService.stats, lambda s: s.get_card(others[0].id)):
        with pytest.raises(CardBundleError, match=f"M1.json: {first.id}: hp: "):
            use(half)


def test_another_directory_is_served_instead(tmp_path: Path, service: CardService) -> None:
    """A service over a directory of one's own has those cards and no others."""
    cards = service.get_cards_by_set("M1a")
    write_bundle(tmp_path, encode_bundle({"M1a": "Only"}, cards))

    assert list(CardService(tmp_path)) == cards


def test_there_is_one_shared_service() -> None:
    """Everybody gets the same service over the shipped bundle."""
    assert get_card_service() is get_card_service()
    assert len(get_card_service()) == 372


def test_the_environment_names_another_directory(
    tmp_path: Path, service: CardService, clean_environment: pytest.MonkeyPatch
) -> None:
    """`MANTIMON_CARDS` is served instead, by one service; an empty value is none."""
    cards = service.get_cards_by_set("M1a")
    write_bundle(tmp_path / "other", encode_bundle({"M1a": "Only"}, cards))

    clean_environment.setenv("MANTIMON_CARDS", str(tmp_path / "other"))
    assert list(get_card_service()) == cards
    assert get_card_service() is get_card_service()

    clean_environment.setenv("MANTIMON_CARDS", "")
    assert len(get_card_service()) == 372


def test_a_directory_that_is_not_there_is_named(
    tmp_path: Path, clean_environment: pytest.MonkeyPatch
) -> None:
    """A wrong `MANTIMON_CARDS` is an error with its path, and not the game's own cards."""
    clean_environment.setenv("MANTIMON_CARDS", str(tmp_path / "nowhere"))

    with pytest.raises(CardBundleError, match=r"nowhere was not loaded.*\n.*is not a directory"):
        get_card_service()


def test_threads_read_the_bundle_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that use a new service at once wait for one load and share what it gave."""
    reads: list[Path] = []
    start, second_reader = threading.Barrier(8), threading.Barrier(2)
    service, found = CardService(), []

    def watched(directory: Path) -> CardBundle:
        reads.append(directory)
        with contextlib.suppress(threading.BrokenBarrierError):
            second_reader.wait(timeout=0.2)
        return load_bundle(directory)

    def use() -> None:
        start.wait()
        found.append(service.get_card("m1-001-kindlekit"))

    monkeypatch.setattr("mantimon.services.card_service.load_bundle", watched)
    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert reads == [SHIPPED_BUNDLE]
    assert found == [service.get_card("m1-001-kindlekit")] * 8
    assert found[0] is not None


def test_the_collector_does_not_run_during_a_load() -> None:
    """Objects that stay are not looked through again and again while they are being made."""
    phases: list[str] = []
    service = CardService()
    thresholds = gc.get_threshold()

    def note(phase: str, _: object) -> None:
        if sys._getframe(1).f_code.co_name == "_decode":
            phases.append(phase)

    gc.set_threshold(1)
    gc.callbacks.append(note)
    try:
        service.load()
    finally:
        gc.callbacks.remove(note)
        gc.set_threshold(*thresholds)

    assert phases == []


def test_the_collector_runs_again_after_a_load(tmp_path: Path) -> None:
    """The pause of the garbage collector ends with the load, also with one that fails."""
    CardService().load()
    assert gc.isenabled()

    with pytest.raises(CardBundleError):
        CardService(tmp_path).load()
    assert gc.isenabled()


def test_what_was_loaded_is_old_at_once() -> None:
    """The next collection of young objects does not look through all that a load has made."""
    service = CardService().load()

    young = {id(each) for n in (0, 1) for each in gc.get_objects(generation=n)}
    assert not any(id(card.attacks) in young for card in service)


def test_what_a_program_has_frozen_stays_frozen() -> None:
    """A load does not give back to the collector what a program has taken from it."""
    gc.freeze()
    try:
        CardService().load()
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()


def test_a_collector_that_was_off_stays_off() -> None:
    """A load does not switch on what the program had switched off."""
    gc.disable()
    try:
        CardService().load()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_importing_it_needs_no_database() -> None:
    """The module comes without SQLAlchemy, and reads no file until it is used."""
    code = (
        "import sys, mantimon.services.card_service as module;"
        "assert 'sqlalchemy' not in sys.modules;"
        "assert module._shared == {}"
    )

    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})
