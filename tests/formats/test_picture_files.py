"""Reference pictures in every mode."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from propagate.errors import InputError
from propagate.formats.images import read_picture

RGB = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)


@pytest.fixture
def png(tmp_path: Path) -> Path:
    return tmp_path / "picture.png"


def test_rgb_and_opaque_alpha(png: Path) -> None:
    Image.fromarray(RGB).save(png)
    assert read_picture(png, size=(2, 3)).tolist() == RGB.tolist()
    assert (read_picture(png, alpha=True)[..., 3] == 255).all()


def test_alpha_is_kept_or_dropped(png: Path) -> None:
    rgba = np.dstack([RGB, np.full((2, 3), 7, np.uint8)])
    Image.fromarray(rgba).save(png)
    assert read_picture(png, alpha=True).tolist() == rgba.tolist()
    assert read_picture(png).tolist() == RGB.tolist()


def test_exif_orientation_is_applied(png: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the top row is displayed at the right
    Image.fromarray(RGB).save(png, exif=exif)
    assert read_picture(png, size=(3, 2)).tolist() == np.rot90(RGB, k=-1).tolist()


def test_sixteen_bits_are_scaled(png: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(np.array([[0, 257 * 9, 65535]], np.uint16)).save(png, exif=exif)
    assert read_picture(png)[0, :, 0].tolist() == [255, 9, 0]


def test_palette_and_grey_are_expanded(png: Path) -> None:
    image = Image.fromarray(np.array([[0, 1]], np.uint8))
    image.putpalette([1, 2, 3, 4, 5, 6])
    image.save(png)
    assert read_picture(png).tolist() == [[[1, 2, 3], [4, 5, 6]]]
    Image.fromarray(np.array([[8]], np.uint8)).save(png)
    assert read_picture(png).tolist() == [[[8, 8, 8]]]


def test_wrong_size_and_wrong_files(png: Path) -> None:
    Image.fromarray(RGB).save(png)
    with pytest.raises(InputError, match=r"picture.png: picture is 3x2 but the video is 6x4 \(resize the picture\)"):
        read_picture(png, size=(4, 6))
    png.write_bytes(b"\x89PNG\r\n\x1a\nxx")
    with pytest.raises(InputError, match=r"picture\.png: (not a picture|the picture is damaged)"):
        read_picture(png)
    with pytest.raises(InputError, match="there is no such file"):
        read_picture(png.parent / "nothing.png")
    with pytest.raises(InputError, match="a folder, not a picture"):
        read_picture(png.parent)
    Image.fromarray(np.ones((2, 2), np.float32)).save(png.with_suffix(".tif"))
    with pytest.raises(InputError, match="floating-point"):
        read_picture(png.with_suffix(".tif"))
