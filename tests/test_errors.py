"""The exception tree: one root, and the built-in base classes that callers rely on."""

from __future__ import annotations

import pickle

import sanreid.errors as tree


def test_all_exceptions_share_one_root():
    for name in tree.__all__:
        assert issubclass(getattr(tree, name), tree.SanreidError), name


def test_built_in_base_classes():
    assert issubclass(tree.InputError, ValueError)
    assert issubclass(tree.ImageError, tree.InputError)
    assert issubclass(tree.UnknownIdError, KeyError)
    assert issubclass(tree.UnknownIdError, tree.GalleryError)
    assert issubclass(tree.MissingExtraError, ImportError)


def test_the_docstring_shows_every_class():
    for name in tree.__all__:
        assert name in (tree.__doc__ or ""), name


def test_unknown_id_error_reads_as_a_sentence():
    assert str(tree.UnknownIdError("No entry has id 7.")) == "No entry has id 7."
    assert str(tree.UnknownIdError()) == ""


def test_an_image_error_keeps_its_reason_in_another_process():
    error = pickle.loads(
        pickle.dumps(tree.ImageError("a.jpg: it is empty.", reason="it is empty."))
    )
    assert (str(error), error.reason) == ("a.jpg: it is empty.", "it is empty.")
    assert tree.ImageError("It is empty.").reason == "It is empty."


def test_the_error_of_no_gallery_says_where_also_in_another_process():
    error = pickle.loads(pickle.dumps(tree.NoGalleryError("people.gallery", "Make one.")))
    assert (str(error), error.place) == (
        "There is no gallery at people.gallery. Make one.",
        "people.gallery",
    )
    assert str(tree.NoGalleryError("g")) == "There is no gallery at g."
