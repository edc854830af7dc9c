"""Write which images and captions of COCO are used: ``python tools/coco_manifest.py val2014 30000``.

The manifest goes to $SSDBENCH_DATA/coco/manifests. Without one the same images are chosen from the annotations whenever
they are read; with one they are read from it, so that another choice can be put in its place.
"""

import sys

from ssdbench.data.coco import choose, read_coco, write_manifest
from ssdbench.data.places import data_root

split, count = sys.argv[1], int(sys.argv[2])
root = data_root() / "coco"
path = root / "manifests" / f"{split}.jsonl"
path.parent.mkdir(exist_ok=True)
write_manifest(choose(read_coco(root / "annotations" / f"captions_{split}.json"), count), path)
print(path)
