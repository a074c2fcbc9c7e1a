"""A user's own images: a folder for each class, any files that Pillow reads."""

import difflib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from tqdm import tqdm

from flowgmm_jax.data import cache
from flowgmm_jax.data.base import ExamplesAndLabels, Info
from flowgmm_jax.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

UNLABELED = "unlabeled"
BACKGROUND = "white"  # behind what is transparent

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
_SERVICE = {"__macosx", "@eadir", "$recycle.bin", "lost+found", "system volume information"}
# Names of the parts of a set, and how people write them too.
_PARTS = {"train", "test", UNLABELED}
_NEAR = {
    "train": {"training", "trainset"},
    "test": {"testing", "tests", "testset", "val", "valid", "validation", "eval"},
    UNLABELED: {"unlabelled", "unlabel", "unlabeleddata", "nolabel", "unknown"},
}
_READ_AT_ONCE = 100
# Other modes (16 bit, CMYK, ...) have no faithful conversion to 8-bit grey or RGB.
_CHANNELS_OF_MODE = {
    "1": "L", "L": "L", "LA": "L", "La": "L", "P": "RGB", "PA": "RGB", "RGB": "RGB", "RGBA": "RGB",
    "RGBa": "RGB",
}  # fmt: skip


class Listing(NamedTuple):
    """The images of a part of a set.

    Attributes:
      folder: of the part.
      paths: class by class, the unlabelled ones last.
      labels: numbers of classes, -1 for the unlabelled ones.
      classes: names of the classes, in alphabetical order.
      skipped: what lies there too, in words.
    """

    folder: Path
    paths: list[Path]
    labels: list[int]
    classes: list[str]
    skipped: list[str]


def list_set(data_dir: str) -> tuple[Listing, Listing | None]:
    """The images for training, and those of the test set if there is one.

    Args:
      data_dir: holds ``train/CLASS/...``, optionally ``train/unlabeled/...`` and
        ``test/CLASS/...``; or ``CLASS/...`` and ``unlabeled/...`` directly.

    Raises:
      FileNotFoundError: the folder or its classes are missing.
      InputError: a class without images, a folder whose name is nearly one of those above, or a
        test class that training lacks.
    """
    root = Path(data_dir).expanduser()
    if not data_dir or not root.is_dir():
        raise FileNotFoundError(
            f"config.data.data_dir={data_dir!r}: no such folder; expected a folder of images"
        )
    folders = _subfolders(root)
    has_parts = (root / "train").is_dir()
    for name in folders:
        # Of classes, only these say how the set is divided.
        meant = _nearly(name, _PARTS if has_parts else {"train", "test", UNLABELED})
        exact = {"train", "test"} if has_parts else {UNLABELED}
        if (
            meant
            and name not in exact
            and not (meant == "test" and has_parts and (root / "test").is_dir())
        ):
            place = root / "train" / UNLABELED if has_parts and meant == UNLABELED else root / meant
            raise InputError(
                f"{root / name}: expected {place}, or another name for a class that is called so"
            )
    train = _list(root / "train" if has_parts else root, None)
    if has_parts:
        odd = sorted(set(folders) - {"train", "test"})
        train.skipped.extend(f"folder {name}" for name in odd)
    if not has_parts or not (root / "test").is_dir():
        return train, None
    test = _list(root / "test", train.classes)
    return train, test


def read_images(listing: Listing, info: Info, image_size: int) -> ExamplesAndLabels:
    """Images uint8 (N, H, W, C) and labels int32 (N,), from the cache of decoded ones if possible.

    Args:
      listing: of the part.
      info: whose shape the images have.
      image_size: side that they are scaled to, or 0.

    Raises:
      InputError: an image cannot be read, or differs from the first in size or channels.
    """
    y = np.array(listing.labels, np.int32)

    def blocks() -> Iterator[ExamplesAndLabels]:
        name = f"decoding {listing.folder.name}"
        with tqdm(total=len(y), desc=name, unit=" images", disable=None) as bar:
            for start in range(0, len(y), _READ_AT_ONCE):
                part = slice(start, start + _READ_AT_ONCE)
                x = np.stack([pixels(path, info.shape, image_size) for path in listing.paths[part]])
                bar.update(len(x))
                yield x, y[part]

    # The cached labels may be out of date: a new class elsewhere changes the numbers of others.
    label = f"images-{listing.folder.name}-{image_size}-on-{BACKGROUND}"
    x, _ = cache.cached(label, listing.paths, lambda: (len(y), blocks()))
    return x, y


def first_info(listing: Listing, image_size: int) -> Info:
    """Shape and classes, from the first image."""
    with open_image(listing.paths[0], image_size) as image:
        shape = (image.height, image.width, len(image.getbands()))
    return Info(shape, len(listing.classes), levels=256)


def open_image(path: Path, image_size: int = 0) -> "Image.Image":
    """An image in grey or RGB as it is meant to be seen: turned as its camera was, on a white
    background, scaled to ``image_size`` pixels a side if that is not 0.

    Raises:
      InputError: it cannot be read, or is of another mode, or shows nothing on that background.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            if image.mode not in _CHANNELS_OF_MODE:
                raise ValueError(f"mode {image.mode}; expected 8-bit grey or RGB")
            if getattr(image, "n_frames", 1) > 1:
                raise ValueError(f"{image.n_frames} pictures in one file; expected one")
            mode = _CHANNELS_OF_MODE[image.mode]
            image.load()
            upright = ImageOps.exif_transpose(image)
            picture = (
                _on_background(upright, mode) if _has_alpha(upright) else upright.convert(mode)
            )
            return scaled(picture, image_size)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        # Pillow's errors for damaged files
        raise InputError(f"{path}: cannot be read as an image ({error})") from error


def scaled(image: "Image.Image", image_size: int) -> "Image.Image":
    """An image whose height and width are ``image_size``, however long they were; 0: as it is."""
    from PIL import Image

    if not image_size or image.size == (image_size, image_size):
        return image
    return image.resize((image_size, image_size), Image.Resampling.BILINEAR)


def _has_alpha(image: "Image.Image") -> bool:
    return "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info


def _on_background(image: "Image.Image", mode: str) -> "Image.Image":
    from PIL import Image

    image = image.convert("RGBA")
    result = Image.alpha_composite(Image.new("RGBA", image.size, BACKGROUND), image).convert(mode)
    low, high = image.getchannel("A").getextrema()
    is_blank = all(low == high for low, high in np.reshape(result.getextrema(), (-1, 2)))
    if low < high and is_blank:
        raise ValueError(f"its transparent parts leave nothing to see on {BACKGROUND}")
    return result


def list_images(folder: Path) -> tuple[list[Path], list[str]]:
    """All images below a folder, in order, and what lies there too, in words."""
    images, skipped = [], Counter()
    for path in _files_below(folder):
        if what := _what_is_skipped(path, folder):
            skipped[what] += 1
        else:
            images.append(path)
    return images, [f"{count} {what}" for what, count in sorted(skipped.items())]


def _what_is_skipped(path: Path, folder: Path) -> str:
    """What a file below a folder is, if it is no image."""
    if any(_is_service(part) for part in path.relative_to(folder).parts):
        return "hidden files"
    if path.suffix.lower() not in _SUFFIXES:
        return f"files {path.suffix or 'without a suffix'}"
    return ""


def pixels(path: Path, shape: tuple[int, ...], image_size: int) -> np.ndarray:
    """Grey levels uint8 of ``shape`` (H, W, C) of an image, scaled as ``open_image`` does.

    Raises:
      InputError: it cannot be read, or has another shape.
    """
    found = np.asarray(open_image(path, image_size))
    found = found if found.ndim == 3 else found[..., None]
    if found.shape != shape:
        offer = ""
        if found.shape[:2] != shape[:2]:
            offer = f", or --config.data.image_size={min(shape[:2])} to scale all images"
        raise InputError(
            f"{path}: image is {found.shape}; expected (H, W, C) = {shape} as the first one{offer}"
        )
    return found


def _subfolders(folder: Path) -> list[str]:
    return sorted(
        path.name for path in folder.iterdir() if path.is_dir() and not _is_service(path.name)
    )


def _is_service(name: str) -> bool:
    return name.startswith(".") or name.lower() in _SERVICE


def _nearly(name: str, parts: set[str]) -> str | None:
    """The part that a folder's name nearly or exactly is."""
    letters = "".join(filter(str.isalpha, name.lower()))
    for part in sorted(parts):
        if letters == part or letters in _NEAR[part]:
            return part
    is_near = difflib.get_close_matches(letters, [UNLABELED], 1, 0.85)
    return UNLABELED if is_near and UNLABELED in parts else None


def _list(folder: Path, classes: Sequence[str] | None) -> Listing:
    """The images below a folder; of a test set, whose ``classes`` are given, all are labelled."""
    names = _subfolders(folder)
    for name in names:
        if name != UNLABELED and _nearly(name, {UNLABELED}):
            raise InputError(
                f"{folder / name}: expected {folder / UNLABELED} for images without a label, or "
                "another name for a class that is called so"
            )
    own = [name for name in names if name != UNLABELED]
    if classes is not None:
        if UNLABELED in names:
            raise InputError(f"{folder / UNLABELED}: expected a class for every test image")
        if strangers := sorted(set(own) - set(classes)):
            raise InputError(f"{folder / strangers[0]}: no such class in {folder.parent / 'train'}")
    if not own:
        raise FileNotFoundError(f"{folder}: no subfolders; expected one for each class")
    _check_spellings(folder, own)
    numbers = {name: i for i, name in enumerate(own if classes is None else classes)}
    paths, labels, skipped = [], [], Counter()
    for path in folder.iterdir():
        if path.is_file():
            skipped["files beside the classes"] += 1
        elif _is_service(path.name):
            skipped[f"folder {path.name}"] += 1
    for name in [*own, *([UNLABELED] if UNLABELED in names else [])]:
        images = []
        for path in _files_below(folder / name):
            if what := _what_is_skipped(path, folder):
                skipped[what] += 1
            else:
                images.append(path)
        if not images:
            raise FileNotFoundError(
                f"{folder / name}: no images; expected {name}/*.png or other images, or no folder"
            )
        paths += images
        labels += [numbers.get(name, -1)] * len(images)
    parts = [
        what if what.startswith("folder") else f"{count} {what}"
        for what, count in sorted(skipped.items())
    ]
    skipped = [f"{folder.name}: {', '.join(parts)}"] if parts else []
    return Listing(folder, paths, labels, list(numbers), skipped)


def _files_below(folder: Path) -> list[Path]:
    """All files, those of subfolders too, in an order that does not depend on the file system."""
    found = [Path(parent) / name for parent, _, names in os.walk(folder) for name in names]
    return sorted(found)


def _check_spellings(folder: Path, names: Sequence[str]) -> None:
    spellings = {}
    for name in names:
        other = spellings.setdefault(name.casefold(), name)
        if other != name:
            raise InputError(f"{folder}: expected one spelling of {other} and {name}")
