"""Colorize from file to file: luma, times, sound and tags are the source's; what is wrong is said."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from video.video_clips import make_clip

from propagate.commands.colorize import open_colorize
from propagate.commands.video_results import VideoOptions
from propagate.errors import ConfigError, InputError
from propagate.metrics.color import mean_delta_e
from propagate.runs.request import Request
from propagate.runs.run import StoppedError
from propagate.runs.settings import SettingLayers
from propagate.video import Color, probe, read_video
from propagate.video.chroma import ChromaWriter, chroma_format, grey_frame, with_depth
from propagate.video.writer import open_video_writer
from rendered import render

FLAGS = {"size": 96, "context": 2, "topk": 5}
LAYERS = SettingLayers(flags=FLAGS)


def read(path, **options):
    with read_video(path, luma=True, **options) as reader:
        return list(reader)


def since_first(frames):
    return [frame.time - frames[0].time for frame in frames]


def do(request, references, *, options=None):
    run = open_colorize(request, references, options=options)
    try:
        return list(run)
    finally:
        run.close()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Return a folder with clip.mp4 (odd times, sound), its frame 0 as first.png, and a grey copy of the clip."""
    folder = tmp_path_factory.mktemp("colorize")
    stamps = [0, 512, 1024, 2000, 2600, 3072, 4000]
    make_clip(folder / "clip.mp4", frames=7, stamps=stamps, tone=True, color=(1, 1))
    Image.fromarray(read(folder / "clip.mp4")[0].rgb).save(folder / "first.png")
    return folder


def test_luma_times_sound_and_tags_are_kept(project, tmp_path):
    out = tmp_path / "out.mkv"
    do(
        Request(str(project / "clip.mp4"), out, layers=LAYERS),
        [str(project / "first.png")],
        options=VideoOptions("ffv1"),
    )
    before, after = read(project / "clip.mp4"), read(out)
    assert since_first(after) == pytest.approx(since_first(before), abs=0.002)  # mkv: sound's lead-in moves all
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one.luma, other.luma)
    info, source = probe(out), probe(project / "clip.mp4")
    assert (info.audio, info.matrix, info.range, info.pix_fmt) == (1, source.matrix, source.range, "yuv420p")
    assert [path.name for path in tmp_path.glob(".*")] == [".out.mkv.state"]


def test_h264_keeps_times_and_nearly_the_luma(project, tmp_path):
    out = tmp_path / "out.mp4"
    do(Request(str(project / "clip.mp4"), out, layers=LAYERS), [str(project / "first.png")])
    before, after = read(project / "clip.mp4"), read(out)
    assert [frame.pts for frame in after] == [frame.pts for frame in before]
    assert max(np.abs(a.luma.astype(int) - b.luma).mean() for a, b in zip(after, before, strict=True)) < 1


def test_the_first_frame_has_the_reference_colours(project, tmp_path):
    predictions = do(
        Request(str(project / "clip.mp4"), tmp_path / "a.mp4", layers=LAYERS),
        [str(project / "first.png")],
    )
    reference = np.asarray(Image.open(project / "first.png"))
    assert mean_delta_e(reference, predictions[0].array) < 2
    record = yaml.safe_load((tmp_path / "a.mp4.run.yaml").read_text())
    assert record["saturation"]["mean"] == pytest.approx(record["saturation"]["reference"], rel=0.2)


def test_a_folder_of_pictures_and_the_names_of_frames(project, tmp_path):
    do(
        Request(str(project / "clip.mp4"), tmp_path / "out", end="3", layers=LAYERS),
        [f"1={project / 'first.png'}"],
    )
    assert sorted(path.name for path in (tmp_path / "out" / "frames").iterdir()) == [
        "00000.png",
        "00001.png",
        "00002.png",
    ]
    first = np.asarray(Image.open(tmp_path / "out" / "frames" / "00000.png")).astype(int)
    assert np.abs(first - first[..., :1]).max() > 10  # coloured going backward


def test_a_reference_of_another_picture_is_warned_of(project, tmp_path, caplog):
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    with caplog.at_level(logging.WARNING):
        do(
            Request(str(project / "clip.mp4"), tmp_path / "out.mp4", layers=LAYERS),
            [str(tmp_path / "noise.png")],
        )
    assert "hardly looks like that frame" in caplog.text


def test_a_killed_run_ends_with_the_same_bytes(project, tmp_path):
    flags = {**FLAGS, "checkpoint": 2}
    request = Request(str(project / "clip.mp4"), tmp_path / "whole.mp4", layers=SettingLayers(flags=flags))
    do(request, [str(project / "first.png")])
    broken = replace(request, out=tmp_path / "broken.mp4")
    count = iter(range(99))
    with pytest.raises(StoppedError, match=r"\(the same command continues\)"):
        do(replace(broken, stop=lambda: 2 if next(count) == 4 else None), [str(project / "first.png")])
    assert not broken.out.exists()
    do(broken, [str(project / "first.png")])
    assert broken.out.read_bytes() == request.out.read_bytes()
    records = [yaml.safe_load(Path(f"{path}.run.yaml").read_text()) for path in (broken.out, request.out)]
    assert records[0]["saturation"] == records[1]["saturation"]


def test_a_colour_clip_and_its_grey_copy_get_the_same_picture(project, tmp_path):
    info, frames = probe(project / "clip.mp4"), read(project / "clip.mp4")
    with open_video_writer(
        tmp_path / "grey.mkv",
        size=info.size,
        time_base=info.time_base,
        state=tmp_path / "state",
        codec="ffv1",
        pix_fmt="yuv420p",
        color=info.color,
    ) as writer:
        for frame in frames:
            writer.write_yuv(frame.luma, *np.full((2, 24, 32), 128, np.uint8), frame.pts)
        writer.finish()
    shown = [
        do(Request(str(video), tmp_path / video.stem, layers=LAYERS), [str(project / "first.png")])
        for video in (project / "clip.mp4", tmp_path / "grey.mkv")
    ]
    for one, other in zip(*shown, strict=True):
        np.testing.assert_array_equal(one.array, other.array)


def test_a_finished_run_has_nothing_to_do(project, tmp_path):
    request = Request(str(project / "clip.mp4"), tmp_path / "out.mp4", layers=LAYERS)
    do(request, [str(project / "first.png")])
    assert do(request, [str(project / "first.png")]) == []


def test_what_is_refused(project, tmp_path):
    request, first = Request(str(project / "clip.mp4"), tmp_path / "out.mp4"), project / "first.png"
    Image.new("RGB", (30, 30)).save(tmp_path / "small.png")
    with pytest.raises(InputError, match="30x30 but the video is 64x48"):
        do(request, [str(tmp_path / "small.png")])
    with pytest.raises(InputError, match="no frame 99"):
        do(request, [f"99={first}"])
    with pytest.raises(InputError, match="both for frame 0"):
        do(request, [str(first), f"0={first}"])
    with pytest.raises(ConfigError, match="prores does not fit into .mp4"):
        do(request, [str(first)], options=VideoOptions("prores"))
    assert [path.name for path in tmp_path.iterdir()] == ["small.png"]


def test_colours_on_a_rendered_clip_are_near_the_truth(tmp_path):
    clip = render(size=(96, 128), frames=6, likeness=0.0, occluder=False)
    (tmp_path / "frames").mkdir()
    for index, rgb in enumerate(clip.frames):
        Image.fromarray(rgb).save(tmp_path / "frames" / f"{index:03d}.png")
    request = Request(str(tmp_path / "frames"), tmp_path / "out", layers=SettingLayers(flags={"size": 96}))
    predictions = do(request, [str(tmp_path / "frames" / "000.png")])
    assert mean_delta_e(clip.frames[-1], predictions[-1].array) < 5


@pytest.mark.parametrize(
    ("label_type", "source", "size", "wanted"),
    [
        ("h264", "yuv420p", (48, 64), "yuv420p"),
        ("h264", "yuv420p10le", (48, 64), "yuv420p10le"),
        ("h264", "yuv420p", (48, 63), "yuv444p"),
        ("ffv1", "yuv420p12le", (48, 64), "yuv420p12le"),
        ("prores", "yuv420p", (48, 64), "yuv422p10le"),
    ],
)
def test_the_format_keeps_depth_and_size(project, label_type, source, size, wanted):
    bits = int(source[7:9]) if source[7:9].isdigit() else 8
    info = replace(probe(project / "clip.mp4"), pix_fmt=source, bit_depth=bits, height=size[0], width=size[1])
    assert chroma_format(label_type, info) == wanted


def test_deep_luma_is_kept(tmp_path):
    make_clip(tmp_path / "deep.mkv", frames=2, pix_fmt="yuv420p10le", codec="ffv1")
    info, frames = probe(tmp_path / "deep.mkv"), read(tmp_path / "deep.mkv")
    writer = open_video_writer(
        tmp_path / "out.mkv",
        size=info.size,
        time_base=info.time_base,
        state=tmp_path / "state",
        codec="ffv1",
        pix_fmt=chroma_format("ffv1", info),
        color=info.color,
    )
    with writer:
        chroma = ChromaWriter(writer, info)
        for frame in frames:
            chroma.write(frame, frame.rgb)
        writer.finish()
    for one, other in zip(frames, read(tmp_path / "out.mkv"), strict=True):
        assert other.luma.dtype == np.uint16
        np.testing.assert_array_equal(one.luma, other.luma)


def test_depths():
    eight = np.array([[0, 16, 235, 255]], np.uint8)
    assert with_depth(eight, 8, 10, range="limited").tolist() == [[0, 64, 940, 1020]]
    assert with_depth(eight, 8, 10, range="full").tolist() == [[0, 64, 943, 1023]]
    np.testing.assert_array_equal(with_depth(with_depth(eight, 8, 10, range="full"), 10, 8, range="full"), eight)


def test_grey_frames_are_of_full_range(project):
    frame, info = read(project / "clip.mp4")[0], probe(project / "clip.mp4")
    levels = replace(frame, luma=np.tile(np.array([[0, 16, 126, 235]], np.uint8), (48, 16)))
    assert grey_frame(levels, info).rgb[0, :4, 0].tolist() == [0, 0, 128, 255]
    full = replace(info, color=Color(range="full"))
    assert grey_frame(levels, full).rgb[0, :4, 0].tolist() == [0, 16, 126, 235]
