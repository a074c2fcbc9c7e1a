"""Hostile folders of images: what is skipped is said, what is doubtful is refused."""

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from flowgmm_jax.data import datasets, folders
from flowgmm_jax.errors import InputError
from flowgmm_jax.models.base import Model
from flowgmm_jax.models.raw import taking_raw

DISC = np.hypot(*(np.indices((8, 8)) - 3.5)) < 3


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWGMM_CACHE", str(tmp_path / "cache"))


def own(path, **fields):
    return ConfigDict({"name": "folder", "data_dir": str(path), "image_size": 0} | fields)


def save(path, shape=(8, 8), seed=0, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.fixture
def root(tmp_path):
    """Two classes and a test set."""
    for i, part in enumerate(["train/a", "train/b", "test/a"]):
        save(tmp_path / "own" / part / "0.png", seed=i)
    return tmp_path / "own"


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("train/unlabelled", "expected .*train/unlabeled"),
        ("train/Unlabeled", "expected .*train/unlabeled"),
        ("train/un-labeled", "expected .*train/unlabeled"),
        ("train/unlabeld", "expected .*train/unlabeled"),
        ("train/unlabeled_data", "expected .*train/unlabeled"),
        ("unlabeled", "expected .*train/unlabeled"),
        ("test/unlabeled", "expected a class for every test image"),
        ("Train", "expected .*/train"),
        ("test/c", "no such class"),
        ("train/A", "expected one spelling of A and a"),
    ],
)
def test_a_name_that_is_nearly_another_is_refused(root, folder, expected):
    save(root / folder / "0.png")
    with pytest.raises(InputError, match=expected):
        datasets.load(own(root))


@pytest.mark.parametrize("names", [("Train", "Test"), ("training", "testing"), ("a", "val")])
def test_parts_of_a_set_are_no_classes(tmp_path, names):
    for name in names:
        save(tmp_path / name / "a" / "0.png")
    with pytest.raises(InputError, match="expected .*(train|test), or another name"):
        datasets.load(own(tmp_path))


def test_a_validation_set_in_place_of_a_test_set_is_refused(root):
    (root / "test").rename(root / "val")
    with pytest.raises(InputError, match="own/val: expected .*own/test"):
        datasets.load(own(root))


def test_what_is_skipped_is_said(root):
    for name in ("__MACOSX", "@eaDir", ".git"):
        save(root / "train" / name / "0.png")
    save(root / "train" / "a" / "@eaDir" / "0.png")
    (root / "train" / "a" / "._0.png").write_bytes(b"of a file manager")
    (root / "train" / "b" / "notes.txt").write_text("no image")
    (root / "train" / "list.csv").write_text("")
    save(root / "val" / "a" / "0.png")
    dataset = datasets.load(own(root))
    assert dataset.classes == ("a", "b")
    text = "; ".join(dataset.source.notes)
    for part in ("folder __MACOSX", "folder @eaDir", "folder .git", "2 hidden files", "files .txt"):
        assert part in text
    assert "1 files beside the classes" in text and "folder val" in text


@pytest.mark.parametrize("suffix", [".bmp", ".webp", ".tif", ".gif", ".PNG", ".jpeg"])
def test_images_of_any_format_and_depth(root, suffix):
    save(root / "train" / "a" / "deep" / f"1{suffix}", (8, 8) if suffix != ".webp" else (8, 8, 3))
    if suffix in (".webp", ".gif"):  # which are in colour
        with pytest.raises(InputError, match=r"image is \(8, 8, 3\); expected"):
            datasets.load(own(root))
    else:
        assert datasets.load(own(root)).y_train.tolist() == [0, 0, 1]


def test_a_class_without_images_is_refused(root):
    (root / "train" / "c").mkdir()
    with pytest.raises(FileNotFoundError, match="train/c: no images"):
        datasets.load(own(root))


def test_images_of_any_size_are_scaled_if_that_is_wanted(root):
    save(root / "train" / "a" / "1.png", (9, 30))
    with pytest.raises(InputError, match="or --config.data.image_size=8 to scale all images"):
        datasets.load(own(root))
    data = own(root, image_size=4)
    dataset = datasets.load(data)
    assert dataset.info == datasets.info(data) == datasets.Info((4, 4, 1), 2, 256)


def test_a_model_of_scaled_images_scales_what_it_is_given(root):
    dataset = datasets.load(own(root, image_size=4))
    sees = Model(init=None, loss=None, class_log_density=lambda params, x: x)
    model = taking_raw(sees, dataset.source.preprocessing, dataset.info.shape)
    stored = np.stack([np.asarray(folders.open_image(root / "train/a/0.png"))])
    np.testing.assert_array_equal(model.class_log_density(None, stored), dataset.x_train[:1])
    small = dataset.x_train[:1]
    np.testing.assert_array_equal(model.class_log_density(None, small), small)
    with pytest.raises(InputError, match="expected uint8 images, which are scaled outside of jit"):
        model.class_log_density(None, stored / 255)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "palette of bytes"])
def test_a_shape_in_the_transparency_is_seen(tmp_path, mode):
    rgba = np.zeros((8, 8, 4), np.uint8)
    rgba[..., 3] = 255 * DISC
    image = Image.fromarray(rgba)
    options = {}
    if mode == "LA":
        image = image.convert("LA")
    elif mode != "RGBA":
        image = Image.fromarray(DISC.astype(np.uint8)).convert("P")
        image.putpalette([0, 0, 0, 0, 0, 0])
        options["transparency"] = 0 if mode == "P" else bytes([0, 255])
    image.save(tmp_path / "0.png", **options)
    pixels = np.asarray(folders.open_image(tmp_path / "0.png"))
    seen = pixels if pixels.ndim == 2 else pixels[..., 0]
    np.testing.assert_array_equal(seen, np.where(DISC, 0, 255))


def test_white_on_a_transparent_background_is_refused(tmp_path):
    rgba = np.full((8, 8, 4), 255, np.uint8)
    rgba[..., 3] = 255 * DISC
    Image.fromarray(rgba).save(tmp_path / "0.png")
    with pytest.raises(InputError, match="0.png: .*nothing to see on white"):
        folders.open_image(tmp_path / "0.png")


def test_photos_are_turned_as_their_camera_was(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    path = save(tmp_path / "0.png", (4, 8), exif=exif)
    assert folders.open_image(path).size == (4, 8)


def test_several_pictures_in_one_file_are_refused(tmp_path):
    frames = [Image.fromarray(np.full((8, 8), i, np.uint8)) for i in (0, 99)]
    frames[0].save(tmp_path / "0.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match="0.gif: .*2 pictures in one file"):
        folders.open_image(tmp_path / "0.gif")
