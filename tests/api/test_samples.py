"""Samples side by side: what stands where, and that the picture holds the pixels."""

from dataclasses import replace

import numpy as np
import pytest

from ssdbench.api.pictures import Samples, by_label, by_prompt, by_run
from ssdbench.data.pictures import labelled_grid
from ssdbench.errors import UsageError


def samples(seed: int, captions: tuple[str, ...] | None = None) -> Samples:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 200, (6, 8, 8, 1), dtype=np.uint8)  # never white
    return Samples(images, np.array([2, 0, 2, 1, 0, 2]), captions)


def test_figure_1_has_the_same_sample_below_each_other() -> None:
    before, after = samples(0), samples(1)
    cells, rows, columns = by_run([("before", before), ("after", after)], [4, 0])
    assert rows == ["before", "after"]
    assert columns == ["class 0", "class 2"]
    assert np.array_equal(cells[1][0], after.images[4])  # type: ignore[arg-type]
    assert np.array_equal(cells[0][1], before.images[0])  # type: ignore[arg-type]


def test_figure_3_has_prompts_in_rows_and_samplers_in_columns() -> None:
    texts = ("a dog", "a cat", "a bird")
    plms, ours = samples(0, texts), samples(1, texts)
    cells, rows, columns = by_prompt([("PLMS", plms), ("Ours", ours)], [0, 3])
    assert (rows, columns) == (["a bird", "a cat"], ["PLMS", "Ours"])
    assert np.array_equal(cells[1][1], ours.images[3])  # type: ignore[arg-type]


def test_runs_that_were_asked_for_other_things_are_not_drawn_under_one_name() -> None:
    texts = ("a dog", "a cat", "a bird")
    one, other = samples(0), replace(samples(1), labels=np.array([2, 0, 2, 1, 1, 2]))
    for draw in (by_run, by_prompt):
        with pytest.raises(UsageError, match="sample 4 is 'class 0' in before and 'class 1' in after"):
            draw([("before", one), ("after", other)], [0, 4])
        with pytest.raises(UsageError, match="sample 0 is 'a bird' in a and 'a fish' in b"):
            draw([("a", samples(0, texts)), ("b", samples(1, ("a dog", "a cat", "a fish")))], [0])
        draw([("before", one), ("after", other)], [0, 1])  # what is drawn is alike
        # Other numbers of the same texts.
        swapped = replace(samples(1, texts[::-1]), labels=2 - one.labels)
        draw([("a", samples(0, texts)), ("b", swapped)], range(6))


def test_a_sample_of_no_class_has_no_name() -> None:
    for captions in (None, ("a dog", "a cat")):
        assert replace(samples(0, captions), labels=np.full(6, -1)).name(0) == ""


def test_every_class_has_a_row_of_its_own() -> None:
    one = samples(0)
    cells, rows, _ = by_label(one, 2)
    assert rows == ["class 0", "class 1", "class 2"]
    assert cells[1][1] is None  # there is one of this class
    for row, chosen in zip(cells, ([1, 4], [3], [0, 2]), strict=True):
        for cell, index in zip(row, chosen, strict=False):
            assert np.array_equal(cell, one.images[index])  # type: ignore[arg-type]


def test_pictures_are_drawn_whole_and_names_beside_them() -> None:
    colours = [(250, 0, value) for value in (10, 20, 30)]  # letters are grey
    red, green, blue = (np.tile(np.array(colour, np.uint8), (8, 8, 1)) for colour in colours)
    picture = labelled_grid([[red, green], [blue, None]], ["first row", "x" * 60], ["one", "two"], scale=3)
    drawn = np.asarray(picture)
    corners = []
    for colour in colours:
        rows, columns = np.nonzero((drawn == colour).all(-1))
        assert len(rows) == 24 * 24
        assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (24, 24)
        corners.append((rows.min(), columns.min()))
    (top, left), (second_top, second_left), (below, below_left) = corners
    assert (top, left) == (second_top, below_left)
    assert second_left >= left + 24
    assert below >= top + 24
    assert (drawn[top:, :left] < 128).any()  # the rows' names
    assert (drawn[:top, left:] < 128).any()  # the columns'
