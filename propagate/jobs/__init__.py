"""One command's work on one video, from files to files: settings, output folder, resume, atomic writes.

A job (`masks`, `keypoints`, ...) opens its inputs and hands a `run.Run` back; iterating over that does the work.
"""
