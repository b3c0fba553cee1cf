"""The bounded memory of pages."""

from buildthrough.proxy.shelf import Shelf


def test_forgets_the_least_recently_used_first():
    shelf: Shelf[str, str] = Shelf(limit=10)
    shelf.put("a", "A", 4)
    shelf.put("b", "B", 4)
    assert shelf.get("a") == "A"

    shelf.put("c", "C", 4)

    assert shelf.get("b") is None
    assert shelf.get("a") == "A"
    assert shelf.get("c") == "C"
    assert shelf.weight == 8


def test_replacing_a_value_does_not_count_it_twice():
    shelf: Shelf[str, str] = Shelf(limit=10)
    shelf.put("a", "A", 4)
    shelf.put("a", "B", 5)
    assert (shelf.get("a"), shelf.weight, len(shelf)) == ("B", 5, 1)


def test_keeps_one_value_that_is_heavier_than_the_limit_until_the_next():
    shelf: Shelf[str, str] = Shelf(limit=10)
    shelf.put("big", "B", 100)
    assert shelf.get("big") == "B"
    shelf.put("small", "S", 1)
    assert shelf.get("big") is None
    assert shelf.get("small") == "S"
    assert shelf.weight == 1


def test_growing_values_push_others_out():
    shelf: Shelf[str, str] = Shelf(limit=10)
    shelf.put("a", "A", 4)
    shelf.put("b", "B", 4)
    shelf.add_weight("b", 4)
    assert shelf.get("a") is None
    assert shelf.weight == 8
    shelf.add_weight("gone", 4)
    assert shelf.weight == 8


def test_dropping_what_is_not_there_changes_nothing():
    shelf: Shelf[str, str] = Shelf(limit=10)
    shelf.drop("a")
    assert (shelf.weight, len(shelf)) == (0, 0)
