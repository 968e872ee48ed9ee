"""A mask propagated through a clip from Python: `python examples/api.py CLIP MASK`, by default those of the demo."""

import sys
from pathlib import Path

import propagate

demo = Path(__file__).resolve().parent / "demo"
clip, first_mask = sys.argv[1:3] if len(sys.argv) > 2 else (demo / "clip.mp4", demo / "first_mask.png")
out = Path("api_masks")
out.mkdir(exist_ok=True)

mask = propagate.read_mask(first_mask)
known = [propagate.Annotation(0, mask.ids, mask.objects)]
label_type = propagate.load_label_type("masks", mask.objects)
encoder = propagate.load_encoder()
for prediction in propagate.run(propagate.read_video(clip), known, label_type=label_type, encoder=encoder):
    propagate.write_mask(out / f"{prediction.frame.stem}.png", prediction.array)
    print(prediction.frame.index, *(f"{thing.id}: {thing.confidence:.2f}" for thing in prediction.objects))
