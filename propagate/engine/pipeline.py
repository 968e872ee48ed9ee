"""The engine in one call: frames and annotations in, a prediction per frame out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing

from propagate.config import PropagateConfig, resolve
from propagate.encoders.features import device_of
from propagate.encoders.protocol import Encoder
from propagate.engine.ahead import ahead
from propagate.engine.propagation import Propagation
from propagate.labels import LABEL_TYPES
from propagate.labels.protocol import LabelType
from propagate.values import Annotation, Frame, Prediction


def run(
    frames: Iterable[Frame],
    annotations: Sequence[Annotation],
    *,
    label_type: LabelType,
    encoder: Encoder,
    config: PropagateConfig | None = None,
) -> Iterator[Prediction]:
    """Yield a prediction per frame; frames are decoded ahead, and only the reference window is held.

    Args:
        frames: in order, such as `read_video(...)`.
        annotations: what is known of some of the frames; one of frame 0 is the common case.
        label_type: the label type, from `load_label_type`.
        encoder: from `load_encoder`; labels live on its device, or on that of `config` where it has no tensors.
        config: the settings; the encoder's preset when None.

    Raises:
        InputError: the frames change their size.
        DeviceError: the device is missing, or out of memory.
    """
    from propagate.device import choose_device, use_threads

    config = config or resolve(encoder.preset)
    device = device_of(encoder) or choose_device(config.device)
    use_threads(config.threads)
    propagation = Propagation(annotations, label_type=label_type, encoder=encoder, config=config, device=device)
    with closing(ahead(frames)) as decoded, closing(propagation.foreseen(decoded, wanted=lambda _: True)) as coming:
        for frame in coming:
            yield propagation.step(frame)


def load_label_type(name: str, about: object = None) -> LabelType:
    """Return a label type by name.

    Args:
        name: an entry of `LABEL_TYPES`: masks, keypoints, colors, texture or maps.
        about: what the labels are: the ids of all objects (masks), the names of all points (keypoints), the RGBA paint
            (texture), the planes (maps); nothing for colors.

    Raises:
        ConfigError: there is no such label type.
        ValueError: `about` does not fit it.
    """
    given = () if about is None else (tuple(about) if isinstance(about, list | tuple) else about,)
    label_type: LabelType = LABEL_TYPES[name](*given)
    return label_type
