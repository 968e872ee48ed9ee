"""Labels between two annotated frames, from both: weighed by distance and confidence, or one of them where they differ.

Nearly all comes from the distances (MiVOS finds the same); where the two ways disagree, their mean would be neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from propagate.engine.group import mirrored
from propagate.engine.snapshot import FrameState, GroupState
from propagate.labels.protocol import LabelType, ObjectLabels, Trace, total
from propagate.values import ObjectId, Source

AGREE = 0.5  # overlap of an object's labels by the two ways, below which they disagree and only one of them is taken
DOUBT = 0.02  # of labels that are as sure as can be

Ends = tuple[int, int]  # two annotated frames
TraceOf = Callable[[FrameState, GroupState], Trace | None]


@dataclass(frozen=True)
class Pair:
    """A group's labels on one frame, by both ways.

    Attributes:
        index: of the frame.
        ends: the annotated frames that the ways start from.
        forward, backward: labels; both speak of the video's own indices.
        trust: (2, n) of each way and each of the group's objects, the confidence in [0, 1]; ones where there is none.
        overlap: (n,) of each object, how much of its labels the ways have in common, in [0, 1].
        share: (n,) of each object, the weight of the forward way: less with the distance, more with its trust.
    """

    index: int
    ends: Ends
    forward: GroupState
    backward: GroupState
    trust: NDArray[np.float64]
    overlap: NDArray[np.float64]
    share: NDArray[np.float64]


def shares(index: int, ends: Ends, trust: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weight of the forward way, (n,), for the trust (2, n) in both ways: as of `Pair`."""
    near, far = (index - ends[0]) * (1 - trust[0] + DOUBT), (ends[1] - index) * (1 - trust[1] + DOUBT)
    share: NDArray[np.float64] = far / (far + near)
    return share


def turned(state: FrameState) -> FrameState:
    """Return what a frame left behind on the way backward, in the video's own indices."""
    return replace(state, index=mirrored(state.index), groups=tuple(map(_turned, state.groups)))


def _turned(group: GroupState) -> GroupState:
    start, end = (None if index is None else mirrored(index) for index in (group.end, group.start))
    origin = group.origin
    if origin is not None:
        origin = torch.stack([mirrored(0) - origin[:, 0], origin[:, 1]], 1)
    return replace(group, start=start, end=end, origin=origin)


def pairs(forward: FrameState, backward: FrameState, *, label_type: LabelType, trace: TraceOf) -> list[Pair]:
    """Return the groups of a frame that have labels by both ways.

    Args:
        forward, backward: what the frame left behind, the latter `turned`.
        label_type: of the labels.
        trace: where the chains of a group end.
    """
    found = []
    for one in forward.groups:
        if one.end is None or one.start is None or one.start == forward.index:
            continue
        other = next((group for group in backward.groups if (group.start, group.end) == (one.start, one.end)), None)
        if other is not None:
            ways = ((forward, one), (backward, other))
            trust = np.stack([_trust(label_type, group, trace(state, group)) for state, group in ways])
            ends = one.start, one.end
            share = shares(forward.index, ends, trust)
            found.append(Pair(forward.index, ends, one, other, trust, _overlap(label_type, one, other), share))
    return found


def _trust(label_type: LabelType, group: GroupState, trace: Trace | None) -> NDArray[np.float64]:
    if not isinstance(label_type, ObjectLabels):
        return np.ones(len(group.ids))
    confidence = label_type.confidence(group.soft, trace)
    return np.array([confidence[label_type.ids.index(name)] for name in group.ids])


def _overlap(label_type: LabelType, one: GroupState, other: GroupState) -> NDArray[np.float64]:
    """Return what each object's labels have in common, of what either holds, (n,); 1 where neither has any."""
    if not isinstance(label_type, ObjectLabels):
        return np.ones(len(one.ids))
    channels = _channels(label_type, one)
    first, second = one.soft[channels], other.soft[channels]
    either = torch.maximum(first, second).sum((1, 2)).double()
    both = torch.minimum(first, second).sum((1, 2)).double()
    found: NDArray[np.float64] = torch.where(either > 0, both / either.clamp(min=1e-9), 1.0).cpu().numpy()
    return found


def _channels(label_type: LabelType, group: GroupState) -> Tensor:
    return torch.tensor([1 + label_type.ids.index(name) for name in group.ids], device=group.soft.device)


def switches(between: Iterable[Pair]) -> dict[ObjectId, int]:
    """Return, for each object of a group, the frame from which on the backward way is taken where the ways disagree.

    One switch at most between two annotated frames: where the ways agree, and each is sure where it is taken.

    Args:
        between: the group's pairs, of all frames between the two annotated ones, in order.
    """
    found = list(between)
    if not found:
        return {}
    index = np.array([pair.index for pair in found])
    overlap = np.stack([pair.overlap for pair in found], 1)  # (n, T)
    trust = np.stack([pair.trust for pair in found], 2)  # (2, n, T)
    ids = found[0].forward.ids
    return {name: _switch(index, overlap[n], trust[:, n], found[0].ends) for n, name in enumerate(ids)}


def _switch(index: NDArray[np.int64], overlap: NDArray[np.float64], trust: NDArray[np.float64], ends: Ends) -> int:
    """Return the frame of the switch of one object.

    Args:
        index: (T,) the frames between.
        overlap: (T,) of each.
        trust: (2, T) of each way.
        ends: the annotated frames.
    """
    disputed = overlap < AGREE
    if not disputed.any():
        return (ends[0] + ends[1]) // 2
    doubt = np.where(disputed, 1 - trust, 0.0) / disputed.sum()  # (2, T)
    before = np.concatenate([[0.0], doubt[0].cumsum()])  # what the forward way costs up to each frame
    after = np.concatenate([doubt[1][::-1].cumsum()[::-1], [0.0]])  # and the backward way from it on
    agree = np.concatenate([overlap[:1], np.maximum(overlap[:-1], overlap[1:]), overlap[-1:]])
    cost = before + after + 1 - agree
    best = np.flatnonzero(cost <= cost.min() + 1e-9)
    at = best[len(best) // 2]
    return int(index[at]) if at < len(index) else ends[1]


def fused(
    forward: FrameState | None,
    backward: FrameState | None,
    *,
    pairs: Sequence[Pair],
    switch: Mapping[Ends, Mapping[ObjectId, int]],
    label_type: LabelType,
) -> FrameState:
    """Return the labels of a frame from what the two ways left behind on it.

    Args:
        forward: None where no label comes from a frame before it.
        backward: the same from frames after it, `turned`.
        pairs: the labels that come on both ways.
        switch: of each two annotated frames, as of `switches`.
        label_type: of the labels.
    """
    if forward is None or backward is None:
        state = forward or backward
        assert state is not None, "nothing is fused where nothing is labelled"
        return state
    together = {pair.ends: fused_group(pair, switch[pair.ends], label_type) for pair in pairs}
    groups = [together.get((one.start, one.end), one) for one in forward.groups]  # type: ignore[arg-type]
    taken = {name for one in forward.groups for name in one.ids}
    others = [replace(one, ids=tuple(name for name in one.ids if name not in taken)) for one in backward.groups]
    groups += [one for one in others if one.ids]
    if not groups:
        return forward if forward.soft is not None else backward
    groups.sort(key=lambda one: (-1 if one.start is None else one.start, label_type.ids.index(one.ids[0])))
    return FrameState.of_groups(
        forward.index, groups, source=_source(forward, backward), ids=forward.ids, grid=forward.grid
    )


def _source(forward: FrameState, backward: FrameState) -> Source:
    """Return where the labels of a frame come from."""
    sources = (forward.source, backward.source)
    return next((one for one in ("undecodable", "annotated", "propagated") if one in sources), "none")


def fused_group(pair: Pair, switch: Mapping[ObjectId, int], label_type: LabelType) -> GroupState:
    """Return the labels of a group from both ways."""
    share, disputed = pair.share, pair.overlap < AGREE
    ids = pair.forward.ids
    taken = np.array([float(pair.index < switch[name]) for name in ids])
    share = np.where(disputed, taken, share)
    soft = _mixed(pair, share, label_type)
    first = float(share.mean()) >= 0.5
    flags = {name: ("disputed",) for name, differ in zip(ids, disputed, strict=True) if differ}
    return replace(pair.forward if first else pair.backward, soft=soft, box=None, flags=flags)


def _mixed(pair: Pair, share: NDArray[np.float64], label_type: LabelType) -> Tensor:
    """Return labels (L, h, w) of both ways, the forward one with the share of each object."""
    one, other = pair.forward.soft, pair.backward.soft
    if label_type.kind == "value":
        return _nearest(one, other, share=float(share.mean()), reach=label_type.reach)
    weight = torch.full((len(one), 1, 1), float(share.mean()), device=one.device)
    weight[_channels(label_type, pair.forward), 0, 0] = torch.from_numpy(share).to(one)
    objects = (weight * one + (1 - weight) * other)[1:]
    covered = total(objects)
    objects = objects / covered.clamp(min=1)
    return torch.cat([(1 - covered).clamp(min=0), objects])


def _nearest(one: Tensor, other: Tensor, *, share: float, reach: float | None) -> Tensor:
    """Return values (L, h, w): the weighed mean where they are near, else those of the larger share.

    Args:
        one, other: (L, h, w).
        share: weight of `one`.
        reach: how far apart the first two channels may be; None averages everywhere.
    """
    mean = share * one + (1 - share) * other
    if reach is None:
        return mean
    near = (one[:2] - other[:2]).square().sum(0).sqrt() <= reach
    return torch.where(near, mean, one if share >= 0.5 else other)
