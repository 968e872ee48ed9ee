"""What `probe` says of ordinary and of unusual files."""

from fractions import Fraction
from pathlib import Path

import pytest
from video.video_clips import cut, make_clip

from propagate.errors import ConfigError, InputError
from propagate.video import probe

GOAL = Path("../shared/data/keypoints_dev/goal_keeping.avi")


def says(path: Path, words: str) -> bool:
    return any(words in line for line in probe(path).problems)


def test_an_mp4_is_described(tmp_path: Path) -> None:
    info = probe(make_clip(tmp_path / "a.mp4", tone=True, color=(1, 1)))
    assert (info.frames, info.size, info.rate, info.audio) == (12, (48, 64), Fraction(25), 1)
    assert (info.codec, info.pix_fmt, info.bit_depth, info.matrix, info.range) == (
        "h264",
        "yuv420p",
        8,
        "bt709",
        "limited",
    )
    assert info.duration == pytest.approx(12 / 25)
    assert info.pts == tuple(range(0, 12 * 512, 512))
    assert info.problems == ()


def test_an_mkv_without_a_count_is_counted(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv")
    assert probe(path).frames == 12
    assert says(path, "no frame count in the header: 12 frames counted")


def test_sound_may_outlast_pictures(tmp_path: Path) -> None:
    assert not probe(make_clip(tmp_path / "a.mkv", tone=True)).ends_early


def test_variable_rate_and_equal_times_are_said(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv", frames=4, stamps=[0, 2, 1400, 2000])  # 2 ticks are 0.16 ms, mkv keeps 1 ms
    assert probe(path).variable_rate
    assert says(path, "same time as the frame before: 1")


def test_a_rounded_rate_is_not_variable(tmp_path: Path) -> None:
    stamps = [round(index * 12800 / 29.97) for index in range(12)]
    assert not probe(make_clip(tmp_path / "a.mkv", stamps=stamps)).variable_rate


@pytest.mark.parametrize("rotation", [90, 270])
def test_a_quarter_turn_swaps_the_size(tmp_path: Path, rotation: int) -> None:
    info = probe(make_clip(tmp_path / "a.mp4", rotation=rotation, sample_aspect=Fraction(4, 3)))
    assert (info.size, info.rotation, info.sample_aspect) == ((64, 48), rotation, Fraction(3, 4))
    assert info.stored().size == (48, 64)


def test_odd_sizes_and_aspect_and_pq_are_said(tmp_path: Path) -> None:
    path = make_clip(
        tmp_path / "a.mp4", height=47, width=63, pix_fmt="yuv444p10le", sample_aspect=Fraction(4, 3), transfer=16
    )
    assert says(path, "odd size: 63x47")
    assert says(path, "pixels are not square: 4/3")
    assert says(path, "PQ")
    assert probe(path).bit_depth == 10


@pytest.mark.parametrize(("height", "matrix"), [(718, "bt601"), (720, "bt709")])
def test_an_untagged_matrix_is_decided_by_height(tmp_path: Path, height: int, matrix: str) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=1, height=height, width=16)
    assert probe(path).matrix == matrix
    assert says(path, f"read as {matrix}")


def test_a_named_matrix_wins(tmp_path: Path) -> None:
    info = probe(make_clip(tmp_path / "a.mp4", frames=1), matrix="709")
    assert (info.matrix, info.problems) == ("bt709", ())
    with pytest.raises(ConfigError, match="no YUV matrix is called 'bt700'"):
        probe(tmp_path / "a.mp4", matrix="700")


@pytest.mark.parametrize(("suffix", "tone"), [(".mp4", False), (".mkv", False), (".mkv", True)])
def test_a_file_cut_off_is_said(tmp_path: Path, suffix: str, tone: bool) -> None:
    info = probe(cut(make_clip(tmp_path / f"a{suffix}", frames=50, noise=True, tone=tone), 0.7))
    assert info.ends_early
    assert info.frames is not None
    assert info.frames < 50
    assert any("the file ends early" in line for line in info.problems)


def test_files_that_are_no_video_are_refused_each_in_its_words(tmp_path: Path) -> None:
    text, listing, empty = tmp_path / "text.mp4", tmp_path / "list.txt", tmp_path / "empty.mp4"
    text.write_text("not a video\n" * 90)
    listing.write_text("a.mp4\nb.mp4\n" * 90)
    empty.touch()
    cases = {
        text: "looks like a text file",
        listing: "a text file, not a video",
        empty: "the file is empty",
        tmp_path / "nope.mp4": "no such file",
        tmp_path: "a folder without images",
        cut(make_clip(tmp_path / "cut.mp4", faststart=False), 0.5): "an mp4 without its index",
    }
    for path, words in cases.items():
        with pytest.raises(InputError, match=words) as caught:
            probe(path)
        assert str(path) in str(caught.value)


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    import av

    path = tmp_path / "a.mkv"
    with av.open(str(make_clip(tmp_path / "b.mkv", tone=True))) as source, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    with pytest.raises(InputError, match="no video that can be decoded, only audio"):
        probe(path)


@pytest.mark.skipif(not GOAL.exists(), reason="the shared data are not there")
def test_dropped_avi_frames_do_not_count() -> None:
    info = probe(GOAL)
    assert info.frames == 40
    assert "the header says 48 frames, the file holds 40" in info.problems
