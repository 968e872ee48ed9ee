"""`propagate masks`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from propagate.cli.options import Absent, FailUnder, Overlay, Video, takes_settings
from propagate.cli.run_command import RunOptions, execute, takes_run_options
from propagate.runs.settings import SettingLayers

if TYPE_CHECKING:
    from propagate.formats.mask_forms import Grey

Labels = Annotated[
    list[str],
    typer.Argument(
        metavar="LABEL",
        help="A mask of the first frame; FRAME=FILE for a mask of another frame; FRAME!=FILE when the objects that it "
        "lacks have left the picture; or a folder of masks that are named like the frames.",
    ),
]
Soft = Annotated[bool, typer.Option("--soft", help="Also write each object's probabilities: OUT/soft/*.npz.")]
Binary = Annotated[bool, typer.Option("--binary", help="Read grey masks as one object against the background.")]
Ids = Annotated[bool, typer.Option("--ids", help="Read the grey values of masks as object numbers.")]
Resize = Annotated[bool, typer.Option("--resize-labels", help="Bring masks of another size to the video's size.")]

LabelStep = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="The masks of a folder, in their order, are those of frames 0, N, 2N, ...; without it they are matched by "
        "name.",
        show_default=False,
    ),
]


@takes_settings
@takes_run_options
def masks(
    video: Video,
    labels: Labels,
    *,
    overlay: Overlay = None,
    soft: Soft = False,
    binary: Binary = False,
    ids: Ids = False,
    resize_labels: Resize = False,
    label_step: LabelStep = None,
    absent: Absent = None,
    fail_under: FailUnder = None,
    run: RunOptions,
    settings: SettingLayers,
) -> None:
    """Track objects through a video from masks: OUT/masks/*.png, OUT/results.jsonl, OUT/run.yaml.

    Example:  propagate masks clip.mp4 first_mask.png 120=fix.png -o out --overlay out/overlay.mp4
    """
    if binary and ids:
        raise typer.BadParameter("--binary and --ids exclude each other")
    from propagate.commands.masks import MaskOptions, open_masks
    from propagate.formats.label_words import read_absences

    grey: Grey = "binary" if binary else "ids" if ids else "auto"
    options = MaskOptions(overlay, soft, grey, resize_labels, read_absences(absent or ()), label_step)
    execute(
        lambda request: open_masks(request, labels, options=options),
        video,
        run=run,
        settings=settings,
        fail_under=fail_under,
    )
