"""Video in and out: files, folders of images and pipes as frames; frames as files. The only room that imports PyAV."""

from propagate.video.color import Color
from propagate.video.info import VideoInfo
from propagate.video.probe import probe
from propagate.video.reader import VideoReader, read_video
from propagate.video.writer import VideoWriter, open_video_writer

__all__ = ["Color", "VideoInfo", "VideoReader", "VideoWriter", "open_video_writer", "probe", "read_video"]
