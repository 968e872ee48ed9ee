"""Renders examples/picture.png, the picture in the README: four clips, each labelled on its first frame alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import propagate
import shots
from propagate.formats.atomic import write_bytes
from propagate.render.overlay import draw_stroke, overlay_masks
from propagate.values import Annotation, Frame, Prediction

SHOWN = (0, 13, 26, 39)  # frames
TILE = (300, 188)  # width and height of one frame in the picture
GAP, TITLE = 6, 38  # pixels between frames, and above a row
TEAL = 6  # of the DAVIS palette, as an object's id
RGB = NDArray[np.uint8]

CAT = {  # x, y on its first frame
    "left eye": (173, 99),
    "left eye, outer": (132, 87),
    "left eye, inner": (216, 139),
    "right eye": (338, 121),
    "right eye, inner": (315, 139),
    "right eye, outer": (366, 101),
    "nose, left": (250, 234),
    "nose, right": (308, 234),
    "nose, tip": (272, 267),
    "whisker": (200, 219),
    "forehead": (296, 33),
}
SKELETON = [
    ("left eye, outer", "left eye"),
    ("left eye", "left eye, inner"),
    ("left eye, inner", "nose, left"),
    ("nose, left", "nose, tip"),
    ("nose, tip", "nose, right"),
    ("nose, right", "right eye, inner"),
    ("right eye, inner", "right eye"),
    ("right eye", "right eye, outer"),
]


LENSES = ((172, 101), (340, 124))  # x, y of the spectacles' middles


def masks_row() -> list[Image.Image]:
    """Return the frames shown of the motorcycle, with its mask."""
    rgb, mask = shots.motorcycle()
    given = Annotation(0, TEAL * mask.astype(int), (TEAL,))
    return tracked(rgb, given, "masks", (TEAL,), lambda p: overlay_masks(p.frame.rgb, p.array.astype(int)))


def points_row() -> list[Image.Image]:
    """Return the frames shown of the cat, with points on its face."""
    names = tuple(CAT)
    given = Annotation(0, np.array(list(CAT.values()), dtype=float), names)
    return tracked(shots.cat(), given, "keypoints", names, with_points)


def colors_row() -> list[Image.Image]:
    """Return the frames shown of the astronaut: grey frames, in the colours of the first."""
    rgb = shots.astronaut()
    grey = np.stack([np.asarray(Image.fromarray(frame).convert("L").convert("RGB")) for frame in rgb])
    given = Annotation(0, rgb[0], ("a", "b", "chroma"))
    tiles = tracked(grey, given, "colors", None, lambda p: p.array.astype(np.uint8))
    for tile, index in zip(tiles[1:], SHOWN[1:], strict=True):
        inset(tile, grey[index])
    return tiles


def paint_row() -> list[Image.Image]:
    """Return the frames shown of the cat, with spectacles painted on its face."""
    paint = painting()
    given = Annotation(0, paint, ("paint",))
    return tracked(shots.cat(), given, "texture", paint, lambda p: p.array.astype(np.uint8))


def tracked(
    rgb: RGB, given: Annotation, label_type: str, about: object, draw: Callable[[Prediction], RGB]
) -> list[Image.Image]:
    """Return the frames shown, in the size of the picture, with the label of the first frame propagated and drawn."""
    frames = [Frame(index, index / 24, frame, f"{index:05d}") for index, frame in enumerate(rgb)]
    encoder = propagate.load_encoder()
    found = propagate.run(frames, [given], label_type=propagate.load_label_type(label_type, about), encoder=encoder)
    return [Image.fromarray(draw(p)).resize(TILE, Image.Resampling.LANCZOS) for p in found if p.frame.index in SHOWN]


def with_points(prediction: Prediction) -> RGB:
    """Return a frame in the size of the picture, with its points and the lines between them."""
    rgb = np.array(Image.fromarray(prediction.frame.rgb).resize(TILE, Image.Resampling.LANCZOS))
    scale = TILE[0] / shots.SIZE[1]
    xy = dict(zip(prediction.ids, scale * (prediction.array + 0.5) - 0.5, strict=True))
    xy = {name: place for name, place in xy.items() if np.isfinite(place).all()}  # the others are not in the picture
    for first, second in (pair for pair in SKELETON if set(pair) <= xy.keys()):
        draw_stroke(rgb, xy[first], xy[second], radius=0.8, color=(255, 255, 255), opacity=0.8)
    for place in xy.values():
        draw_stroke(rgb, place, place, radius=4.2, color=(0, 0, 0))
        draw_stroke(rgb, place, place, radius=3.0, color=(90, 230, 255))
    return rgb


def painting() -> RGB:
    """Return paint (H, W, 4) for the first frame of the cat: spectacles, drawn large and then made smooth."""
    large = Image.new("RGBA", (4 * shots.SIZE[1], 4 * shots.SIZE[0]))
    draw = ImageDraw.Draw(large)
    blue = (24, 84, 200, 245)
    draw.line([(4 * x, 4 * y) for x, y in ((226, 107), (262, 101), (300, 115))], fill=blue, width=36, joint="curve")
    draw.line([(4 * x, 4 * y) for x, y in ((118, 85), (40, 59))], fill=blue, width=36)
    for (x, y), (across, down) in zip(LENSES, ((58, 52), (43, 50)), strict=True):
        draw.ellipse([4 * (x - across), 4 * (y - down), 4 * (x + across), 4 * (y + down)], outline=blue, width=36)
    return np.asarray(large.resize(shots.SIZE[::-1], Image.Resampling.LANCZOS))


def inset(tile: Image.Image, rgb: RGB) -> None:
    """Put a small picture with a white frame into the lower right corner of a tile."""
    small = Image.fromarray(rgb).resize((TILE[0] // 3, TILE[1] // 3), Image.Resampling.LANCZOS)
    place = (TILE[0] - small.width - 4, TILE[1] - small.height - 4)
    ImageDraw.Draw(tile).rectangle([place[0] - 2, place[1] - 2, TILE[0], TILE[1]], fill="white")
    tile.paste(small, place)


def main() -> None:
    """Write the picture."""
    rows: list[tuple[str, str, Sequence[Image.Image]]] = [
        ("Masks", "given: the mask of the first frame", masks_row()),
        ("Points", "given: 11 points on the first frame", points_row()),
        ("Colours", "given: a grey video (insets), and its first frame in colour", colors_row()),
        ("Paint", "given: paint on the first frame; it follows the surface", paint_row()),
    ]
    width, height = 4 * TILE[0] + 3 * GAP, len(rows) * (TITLE + TILE[1] + GAP)
    picture = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(picture)
    bold, plain = ImageFont.load_default(size=25), ImageFont.load_default(size=19)
    for number, (title, given, tiles) in enumerate(rows):
        top = number * (TITLE + TILE[1] + GAP)
        draw.text((2, top + 28), title, font=bold, anchor="ls", fill="black", stroke_width=0.4, stroke_fill="black")
        draw.text((116, top + 28), given, font=plain, anchor="ls", fill="#555555")
        for column, tile in enumerate(tiles):
            picture.paste(tile, (column * (TILE[0] + GAP), top + TITLE))
    data = BytesIO()
    few = picture.quantize(256, kmeans=3)
    few.save(data, format="PNG", optimize=True)
    write_bytes(Path(__file__).resolve().parent / "picture.png", data.getvalue())


if __name__ == "__main__":
    main()
