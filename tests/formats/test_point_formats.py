"""Point formats: hand-made files, every refusal, and a round trip over every entry of FORMATS."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from propagate.errors import InputError, OutputError
from propagate.formats import FORMATS
from propagate.formats.points import PointSet, PointTracks, read_points, recognise

NAN = math.nan

LONG = "frame,name,x,y,visible,object\n0,nose,1.5,2,1,a\n0,tail,3,4,0,a\n7,nose,,,1,a\n7,tail,5,6,,a\n"
WIDE = "frame;nose_x;nose_y;tail_x;tail_y\n0;1.5;2;;\n\n7;;;5;6\n"
JSON = '{"0": {"nose": [1.5, 2], "tail": null}, "7": {"tail": [5, 6, 0.9]}}'
NESTED = '{"0": {"a": {"nose": [1.5, 2]}}, "7": {"a": {"tail": [5, 6]}}}'
JSONL = '{"frame": 0, "points": {"nose": [1.5, 2]}}\n{"frame": 7, "points": {"tail": [5, 6]}}\n'
DLC = (
    "scorer,S,S,S,S\nbodyparts,nose,nose,tail,tail\ncoords,x,y,x,y\n"
    "labeled-data/clip2/img0000.png,1.5,2,,\nlabeled-data/clip2/img0007.png,NaN,NaN,5,6\n"
)
DLC3 = (
    "scorer,,,S,S,S,S\nindividuals,,,a,a,a,a\nbodyparts,,,nose,nose,tail,tail\ncoords,,,x,y,x,y\n"
    "labeled-data,clip2,img0000.png,1.5,2,,\nlabeled-data,clip2,img0007.png,,,5,6\n"
)
DLC_PREDICTED = (
    "scorer,S,S,S,S,S,S\nbodyparts,nose,nose,nose,tail,tail,tail\ncoords,x,y,likelihood,x,y,likelihood\n"
    "0,1.5,2,0.9,,,0.1\n7,,,,5,6,1\n"
)


def save(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "points.txt"
    path.write_text(text, encoding="utf-8")
    return path


def same(found: NDArray[np.generic], wanted: object) -> bool:
    return np.array_equal(np.asarray(found, float), np.asarray(wanted, float), equal_nan=True)


@pytest.mark.parametrize("text", [LONG, WIDE, JSON, NESTED, JSONL, DLC, DLC3, DLC_PREDICTED, "\ufeff" + WIDE])
def test_all_forms_say_the_same(tmp_path: Path, text: str) -> None:
    points = read_points(save(tmp_path, text), frame_count=8, size=(10, 10))
    prefix = "a/" if "a/nose" in points.names else ""
    assert points.names == (f"{prefix}nose", f"{prefix}tail")
    assert [a.frame for a in points.annotations] == [0, 7]
    assert same(points.annotations[0].array, [[1.5, 2], [NAN, NAN]])
    assert same(points.annotations[1].array, [[NAN, NAN], [5, 6]])
    assert points.annotations[0].ids == points.names


@pytest.mark.parametrize(("text", "form"), [(LONG, "csv"), (JSON, "json"), (JSONL, "json"), (DLC, "deeplabcut")])
def test_content_decides(tmp_path: Path, text: str, form: str) -> None:
    assert recognise(save(tmp_path, text)) == form


def test_single_animals_have_no_prefix(tmp_path: Path) -> None:
    points = read_points(save(tmp_path, DLC3.replace("individuals,,,a,a,a,a", "individuals,,,single,single,b,b")))
    assert points.names == ("nose", "b/tail")


def test_stems_go_before_digits(tmp_path: Path) -> None:
    stems = [f"img{index:04d}" for index in (0, 3, 7)]
    points = read_points(save(tmp_path, DLC), stems=stems, frame_count=3)
    assert [a.frame for a in points.annotations] == [0, 2]
    with pytest.raises(InputError, match="img0007 is the stem of no frame"):
        read_points(save(tmp_path, DLC), stems=stems[:2])


def test_numbers_are_indices_unless_written_like_stems(tmp_path: Path) -> None:
    stems = ["00005", "00007"]
    assert read_points(save(tmp_path, '{"1": {"a": [1, 2]}}'), stems=stems).annotations[0].frame == 1
    assert read_points(save(tmp_path, '{"00007": {"a": [1, 2]}}'), stems=stems).annotations[0].frame == 1
    assert read_points(save(tmp_path, '{"00007": {"a": [1, 2]}}')).annotations[0].frame == 7
    assert read_points(save(tmp_path, "frame,a_x,a_y\n3.0,1,2\n")).annotations[0].frame == 3


def test_a_point_outside_is_warned_about_and_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    points = read_points(save(tmp_path, "frame,name,x,y\n2,nose,9.6,1\n2,tail,9.4,-0.4\n"), size=(5, 10))
    assert "the point nose of frame 2 at (9.6, 1) lies outside the 10x5 picture" in caplog.text
    assert "tail" not in caplog.text
    assert same(points.annotations[0].array, [[9.6, 1], [9.4, -0.4]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("a,b\n1,2\n", "no column frame, name, x, y in the header 'a,b' .*the header is"),
        ("frame,name,x\n0,a,1\n", "no column y in the header"),
        ("frame,a_x\n0,1\n", "no column a_y in the header"),
        ("time,a_x,a_y\n0,1,2\n", "no column frame"),
        ("frame,a_x,a_x,a_y\n", "column a_x comes twice"),
        ("frame,name,x,y\n0,a,1,2\n1,a,one,2\n", "line 3: x of a is not a number: 'one'"),
        ("frame,name,x,y\n0,a,inf,2\n", "line 2: x of a is infinite"),
        ("frame,name,x,y\n0,a,1,\n", "line 2: the point a has only one of x and y"),
        ("frame,name,x,y\n0,,1,2\n", "line 2: the name is empty"),
        ("frame,name,x,y\n,a,1,2\n", "line 2: the frame is empty"),
        ("frame,name,x,y\n0,a,1,2,3\n", "line 2: 5 cells but the header has 4"),
        ("frame,name,x,y\n0,a,1,2\n0,a,3,4\n", "line 3: the point a of frame 0 is given twice"),
        ("frame,name,x,y\n0,a,,\n", "no point is annotated"),
        ("frame,name,x,y\n", "no point is annotated"),
        ("frame,name,x,y\n-1,a,1,2\n", "-1 is no frame"),
        ("frame,name,x,y\n1.5,a,1,2\n", "1.5 is no frame"),
        ("frame,name,x,y\ncat,a,1,2\n", "cat matches no frame"),
        ("frame,name,x,y\n20,a,1,2\n", "there is no frame 20, the video has 10 frames"),
        ("frame,name,x,y\n0,a," + "1" * 200000 + ",2\n", "not a table: field larger"),
        ('{"0": {"a": [1, 2]}', "line 1: not JSON"),
        ('{"0": {"a": [1]}}', r"frame 0: the point a must be \[x, y\] or null, not \[1\]"),
        ('{"0": {"a": [1, "2"]}}', "the point a is not a number: '2'"),
        ('{"0": {"a": [1, true]}}', "the point a is not a number: True"),
        ('{"0": {"a": [1, 2], "a": [3, 4]}}', "'a' is given twice"),
        ('{"0": [1, 2]}', "frame 0: expected points by name but found a list"),
        ("[1, 2]", "expected .* but found a list"),
        ('{"images": {"a": [1, 2]}}', "images matches no frame"),
        ('{"frame": 0, "points": {"a": [1, 2]}}\n{"frame": 1}\n', "line 2: expected an object with frame and points"),
        ('{"frame": 0, "points": {"a": [1, 2]}}\n{"frame\n', "line 2: not JSON"),
        ("scorer,S,S\ncoords,x,y\n0,1,2\n", "the header row bodyparts of a DeepLabCut file is missing"),
        ("scorer,S\nbodyparts,a\ncoords,x\n0,1\n", "a has no column y"),
        ("scorer,S,S\nbodyparts,a,a\ncoords,x,x\n0,1,2\n", "the column x of a comes twice"),
        ("scorer,S,S,S\nbodyparts,a,a,a\ncoords,x,y,z\n0,1,2,3\n", "column 4 of the header"),
        ("scorer,S,S\nbodyparts,a,a\ncoords,x,y\nimg1.png,1,b\n", "line 4: y of a is not a number: 'b'"),
        ("scorer,S,S\nbodyparts,a,a\ncoords,x,y\n,1,2\n", "line 4: the row names no image"),
    ],
)
def test_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_points(save(tmp_path, text), frame_count=10)


def test_files_that_hold_no_text(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    with pytest.raises(InputError, match="there is no such file"):
        read_points(path)
    path.write_bytes(b"\x89HDF\r\n\x1a\n....")
    with pytest.raises(InputError, match="an HDF5 file is not read here"):
        read_points(path)
    path.write_bytes(b"\xff\xfe\x00\x00\xd8")
    with pytest.raises(InputError, match="not a text file in UTF-8"):
        read_points(path)


def tracks(names: tuple[str, ...], xy: NDArray[np.float64]) -> PointTracks:
    count = len(xy)
    visible = ~np.isnan(xy[..., 0])
    stems = tuple(f"{index:05d}" for index in range(count))
    return PointTracks(
        names, tuple(range(count)), stems, tuple(i / 30 for i in range(count)), xy, np.where(visible, 0.5, 0.0), visible
    )


TWO = tracks(("a/nose", "tail"), np.array([[[1.23456, 2], [3, 4]], [[NAN, NAN], [-0.0001, 6]]]))


def test_long_csv_has_a_row_per_frame_and_point(tmp_path: Path) -> None:
    FORMATS["csv"].write(tmp_path / "p.csv", TWO)
    assert (tmp_path / "p.csv").read_text() == (
        "frame,stem,time,name,x,y,confidence,visible\n"
        "0,00000,0.0,a/nose,1.235,2.0,0.5,1\n0,00000,0.0,tail,3.0,4.0,0.5,1\n"
        "1,00001,0.033333,a/nose,,,0.0,0\n1,00001,0.033333,tail,0.0,6.0,0.5,1\n"
    )


def test_deeplabcut_has_a_row_per_frame(tmp_path: Path) -> None:
    FORMATS["deeplabcut"].write(tmp_path / "p.csv", TWO)
    assert (tmp_path / "p.csv").read_text() == (
        "scorer,propagate,propagate,propagate,propagate,propagate,propagate\n"
        "individuals,a,a,a,single,single,single\nbodyparts,nose,nose,nose,tail,tail,tail\n"
        "coords,x,y,likelihood,x,y,likelihood\n0,1.235,2.0,0.5,3.0,4.0,0.5\n1,,,0.0,0.0,6.0,0.5\n"
    )


def test_json_lines(tmp_path: Path) -> None:
    FORMATS["jsonl"].write(tmp_path / "p.jsonl", TWO)
    assert (tmp_path / "p.jsonl").read_text().splitlines()[1] == (
        '{"frame": 1, "stem": "00001", "time": 0.033333, "points": {"a/nose": null, "tail": [0.0, 6.0]}, '
        '"confidence": {"a/nose": 0.0, "tail": 0.5}}'
    )


def test_tracks_check_their_shapes() -> None:
    with pytest.raises(ValueError, match=r"must be \(1, 2, 2\), \(1, 2\)"):
        PointTracks(("a", "b"), (0,), ("0",), (0.0,), np.zeros((1, 2, 3)), np.zeros((1, 2)), np.ones((1, 2), bool))
    with pytest.raises(ValueError, match="equally long"):
        PointTracks(("a",), (0,), (), (0.0,), np.zeros((1, 1, 2)), np.zeros((1, 1)), np.ones((1, 1), bool))


@pytest.mark.parametrize("form", list(FORMATS))
def test_a_folder_that_is_missing(tmp_path: Path, form: str) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        FORMATS[form].write(tmp_path / "missing" / "p", TWO)


part = (
    st.text("abcß,\" ';_-", min_size=1, max_size=5).map(str.strip).filter(lambda name: name not in ("", '"', "single"))
)
name = st.one_of(part, st.tuples(part, part).map("/".join))
coordinate = st.integers(-9000, 9000).map(lambda value: value / 8)
point = st.one_of(st.just((NAN, NAN)), st.tuples(coordinate, coordinate))


@st.composite
def any_tracks(draw: st.DrawFn) -> PointTracks:
    names = draw(st.lists(name, min_size=1, max_size=4, unique=True))
    rows = draw(st.lists(st.lists(point, min_size=len(names), max_size=len(names)), min_size=1, max_size=4))
    return tracks(tuple(names), np.array(rows, float))


def frames_of(points: PointSet) -> dict[int, dict[str, list[float]]]:
    return {
        a.frame: {n: xy for n, xy in zip(points.names, a.array.tolist(), strict=True) if not math.isnan(xy[0])}
        for a in points.annotations
    }


@pytest.mark.parametrize("form", list(FORMATS))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given_tracks=any_tracks())
def test_what_is_written_is_read_again(tmp_path: Path, form: str, given_tracks: PointTracks) -> None:
    path = tmp_path / "points"
    FORMATS[form].write(path, given_tracks)
    if np.isnan(given_tracks.xy).all():
        with pytest.raises(InputError, match="no point is annotated"):
            read_points(path)
        return
    wanted = {
        frame: {
            n: list(map(float, xy)) for n, xy in zip(given_tracks.names, row, strict=True) if not np.isnan(xy).any()
        }
        for frame, row in enumerate(given_tracks.xy)
        if not np.isnan(row).all()
    }
    assert frames_of(read_points(path)) == wanted
