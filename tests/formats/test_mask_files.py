"""Every form of mask file, every refusal, and writing."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image

from propagate.errors import InputError, OutputError
from propagate.formats.indexed_png import davis_palette, read_mask, write_mask


def blocks(*values: int) -> NDArray[np.uint8]:
    """Return (12, 4 * N) with a 4x4 block of each value on a background of 0."""
    picture = np.zeros((12, 4 * len(values)), np.uint8)
    for place, value in enumerate(values):
        picture[4:8, 4 * place : 4 * place + 4] = value
    return picture


def ramp() -> NDArray[np.uint8]:
    """Return an anti-aliased disc: white inside, a grey edge one pixel wide."""
    y, x = np.mgrid[:24, :24] - 11.6
    coverage: NDArray[np.float64] = np.clip(8.3 - np.hypot(x, y), 0, 1)
    return (coverage * 255).round().astype(np.uint8)


def save(path: Path, pixels: NDArray[np.generic]) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def grey_png(path: Path, values: NDArray[np.uint8], depth: int) -> Path:
    """Write a grey PNG of 1, 2 or 4 bits by hand; Pillow itself writes 8."""
    height, width = values.shape
    bits = np.unpackbits(values[..., None], axis=2)[..., 8 - depth :].reshape(height, -1)
    rows = b"".join(b"\0" + np.packbits(row).tobytes() for row in bits)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )
    return path


@pytest.fixture
def png(tmp_path: Path) -> Path:
    return tmp_path / "mask.png"


@pytest.mark.parametrize(("colors", "ids"), [(2, (1,)), (4, (1, 3)), (16, (1, 15)), (256, (1, 7, 200))])
def test_indices_are_ids_whatever_the_palette(png: Path, colors: int, ids: tuple[int, ...]) -> None:
    image = Image.fromarray(blocks(*ids))
    image.putpalette(davis_palette()[::-1][:colors].tobytes())
    image.save(png)
    mask = read_mask(png)
    assert (mask.form, mask.objects) == ("indexed", ids)


@pytest.mark.parametrize("value", [1, 255])
def test_binary_grey_is_object_one(png: Path, value: int) -> None:
    mask = read_mask(save(png, blocks(value, 0, value)))
    assert mask.form == f"grey {{0, {value}}}, one object"
    assert mask.ids.tolist() == (blocks(value, 0, value) > 0).astype(int).tolist()


@pytest.mark.parametrize("values", [(1, 2, 3), (5, 254), (7,), (10, 20, 30)])
def test_other_grey_values_are_ids(png: Path, values: tuple[int, ...]) -> None:
    mask = read_mask(save(png, blocks(*values)))
    assert (mask.form, mask.objects) == ("grey ids", values)


def test_a_sliver_between_counting_ids_is_no_antialiasing(png: Path) -> None:
    picture = blocks(2, 2)
    picture[4:8, 0] = 1
    assert read_mask(save(png, picture)).objects == (1, 2)


@pytest.mark.parametrize(
    ("picture", "listed"),
    [
        (blocks(128, 255), "0, 128, 255"),
        (ramp().clip(max=254), r"0, 18, 40, .* 136, 146, ... \(22 values\)"),
        (
            np.repeat(np.repeat(np.arange(0, 240, 3, dtype=np.uint8)[None], 4, axis=0), 4, axis=1),
            r"0, 3, 6, .*33, 36, ... \(79 values\)",
        ),
    ],
)
def test_doubtful_grey_is_refused_with_its_values(png: Path, picture: NDArray[np.uint8], listed: str) -> None:
    with pytest.raises(InputError, match=f"grey values {listed} look like anti-aliasing .*--ids.*--binary"):
        read_mask(save(png, picture))


def test_ids_and_binary_decide(png: Path) -> None:
    save(png, blocks(128, 255))
    assert read_mask(png, grey="ids").objects == (128, 255)
    assert read_mask(png, grey="binary").objects == (1,)
    soft = read_mask(save(png, ramp()), grey="binary")
    assert (soft.ids > 0).tolist() == (ramp() >= 128).tolist()
    assert (read_mask(save(png, blocks(1, 2, 9)), grey="binary").ids > 0).sum() == 48


def test_two_channels_and_one_bit(png: Path) -> None:
    alpha = np.full((12, 8), 255, np.uint8)
    alpha[:, 4:] = 0
    assert (read_mask(save(png, np.dstack([blocks(255, 255), alpha]))).ids > 0).sum() == 16
    assert read_mask(save(png, blocks(1, 0) > 0)).form == "grey {0, 1}, one object"


def test_an_index_under_alpha_zero_is_background(tmp_path: Path) -> None:
    image = Image.fromarray(blocks(3, 4))
    image.putpalette(davis_palette().tobytes())
    mask = image.convert("PA")
    mask.putalpha(Image.fromarray(blocks(255, 0)))
    mask.save(tmp_path / "mask.tif")
    assert read_mask(tmp_path / "mask.tif").objects == (3,)


@pytest.mark.parametrize("depth", [2, 4])
def test_few_bits_of_grey_are_not_stretched(png: Path, depth: int) -> None:
    assert read_mask(grey_png(png, blocks(1, 2, 3), depth)).objects == (1, 2, 3)
    assert read_mask(grey_png(png, blocks(2**depth - 1), depth)).objects == (1,)


def test_davis_colors_are_their_indices(png: Path) -> None:
    mask = read_mask(save(png, davis_palette()[blocks(2, 9)]))
    assert (mask.form, mask.objects) == ("colours of the DAVIS palette", (2, 9))
    assert mask.colors == {2: (0, 128, 0), 9: (192, 0, 0)}


def test_other_colors_count_up_in_ascending_order(png: Path) -> None:
    picture = np.zeros((12, 8, 4), np.uint8)
    picture[..., 3] = 255
    picture[4:8, :4] = 250, 10, 10, 255
    picture[4:8, 4:] = 10, 10, 250, 255
    picture[8:] = 9, 9, 9, 0
    mask = read_mask(save(png, picture))
    assert mask.colors == {1: (10, 10, 250), 2: (250, 10, 10)}
    assert mask.ids[5].tolist() == [2, 2, 2, 2, 1, 1, 1, 1]
    assert not mask.ids[8:].any()


def test_white_on_black_in_colour_is_object_one(png: Path) -> None:
    assert read_mask(save(png, np.dstack([blocks(255, 0)] * 3))).objects == (1,)


def labelled(folder: Path, labelmap: str) -> Path:
    (folder / "labelmap.txt").write_text(labelmap)
    picture = np.zeros((12, 8, 3), np.uint8)
    picture[4:8, :4], picture[4:8, 4:] = (250, 10, 10), (10, 10, 250)
    return save(folder / "mask.png", picture)


def test_a_labelmap_gives_the_ids(tmp_path: Path) -> None:
    text = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:1,1,1::\ndog:250,10,10::\nowl:10,10,250::\n"
    mask = read_mask(labelled(tmp_path, text))
    assert mask.form == "colours by labelmap.txt"
    assert mask.colors == {2: (250, 10, 10), 3: (10, 10, 250)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dog:250,10,10::\n", r"the colour \(10, 10, 250\) is not in .*labelmap.txt"),
        ("dog:250,10\n", "labelmap.txt, line 1: expected label:R,G,B::"),
        ("dog:1,2,3::\ncat:1,2,3::\n", "line 2: the colour of another label"),
    ],
)
def test_a_wrong_labelmap_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_mask(labelled(tmp_path, text))


def test_few_levels_of_antialiasing_are_refused(png: Path) -> None:
    levels = ramp() // 64 * 64  # 0, 64, 128, 192
    with pytest.raises(InputError, match="grey values 0, 64, 128, 192 look like anti-aliasing"):
        read_mask(save(png, levels))
    with pytest.raises(InputError, match="3 colours that look like anti-aliasing"):
        read_mask(save(png, np.dstack([levels + 1] * 3) * (levels > 0)[..., None].astype(np.uint8)))
    with pytest.raises(InputError, match="2 colours that look like anti-aliasing"):
        read_mask(save(png, np.dstack([blocks(99, 255)] * 3)))


def test_antialiased_colors_are_refused(png: Path) -> None:
    with pytest.raises(InputError, match="colours that look like anti-aliasing"):
        read_mask(save(png, np.dstack([ramp()] * 3)))
    noise = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    with pytest.raises(InputError, match="colours are too many for a mask, it is anti-aliased or was a JPEG"):
        read_mask(save(png, noise))


def test_a_jpeg_is_refused_whatever_its_name(tmp_path: Path) -> None:
    Image.fromarray(blocks(255)).save(tmp_path / "mask.png", "JPEG")
    with pytest.raises(InputError, match="a JPEG cannot be a mask"):
        read_mask(tmp_path / "mask.png")


def test_no_object(png: Path) -> None:
    save(png, blocks(0))
    with pytest.raises(InputError, match=r"mask\.png: no object, the mask is all background"):
        read_mask(png)
    assert read_mask(png, allow_empty=True).objects == ()


def test_files_that_are_no_masks(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        read_mask(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(InputError, match="not a picture"):
        read_mask(tmp_path / "text.png")
    save(tmp_path / "float.tif", blocks(1).astype(np.float32))
    with pytest.raises(InputError, match="mode F cannot be a mask"):
        read_mask(tmp_path / "float.tif")
    save(tmp_path / "wide.tif", blocks(1).astype(np.int32) * 70000)
    with pytest.raises(InputError, match="ids must be 0 to 65535, found 0 to 70000"):
        read_mask(tmp_path / "wide.tif")


def test_a_truncated_file_is_refused(png: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 2, (64, 64), np.uint8)
    data = save(png, noise).read_bytes()
    for length in (len(data) // 2, 60, 30):
        png.write_bytes(data[:length])
        with pytest.raises(InputError, match=r"mask\.png: (the picture is damaged|not a picture)"):
            read_mask(png)


def test_written_indices_survive_and_have_256_colors(png: Path) -> None:
    write_mask(png, blocks(1, 7, 200))
    with Image.open(png) as image:
        assert image.mode == "P"
        assert image.getpalette() == davis_palette().ravel().tolist()
    assert read_mask(png).ids.tolist() == blocks(1, 7, 200).tolist()


def test_more_than_255_ids_are_written_in_16_bits(png: Path) -> None:
    ids = np.arange(301).reshape(7, 43)
    write_mask(png, ids)
    assert read_mask(png).ids.tolist() == ids.tolist()
    assert read_mask(png).form == "16-bit ids"
    assert read_mask(png, grey="binary").objects == (1,)


def test_equal_ids_give_equal_bytes_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_mask(tmp_path / "a.png", blocks(1, 2))
    write_mask(tmp_path / "b.png", blocks(1, 2).astype(np.int64))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_writing_refuses_what_is_no_mask(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a mask must be \(H, W\) integer"):
        write_mask(tmp_path / "a.png", np.zeros((2, 2)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="ids must be 0 to 65535, not 65536 to 65536"):
        write_mask(tmp_path / "a.png", np.full((2, 2), 65536))
    with pytest.raises(OutputError, match="cannot be written: No such file"):
        write_mask(tmp_path / "missing" / "a.png", blocks(1))


shapes = hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ids=hnp.arrays(np.uint16, shapes, elements=st.one_of(st.integers(0, 255), st.integers(0, 65535))))
def test_any_ids_come_back(png: Path, ids: NDArray[np.uint16]) -> None:
    write_mask(png, ids)
    assert read_mask(png, allow_empty=True).ids.tolist() == ids.tolist()


def test_davis_masks(shared_data: Path) -> None:
    mask = read_mask(shared_data / "davis_dev/Annotations/240p/schoolgirls/00000.png")
    assert (mask.form, mask.objects, mask.ids.shape) == ("indexed", (1, 2, 3, 4, 5, 6, 7), (240, 432))
