# SPDX-License-Identifier: Apache-2.0
"""Our pose tokenizer against what the published one computes: exact codes, rotations to 1e-4.

python tests/parity/check_pose_tokenizer.py PARITY_FOLDER
"""

import sys
from pathlib import Path

from safetensors.torch import load_file

from unipose_hf.hub.conversion import convert_pose_tokenizer

folder = Path(sys.argv[1])
expected = load_file(folder / "expected.safetensors")
model = convert_pose_tokenizer(folder / "published_layout/pose_vqvae/best_MPJPE.ckpt")
codes = model.encode(expected["pose_rotmats"]).codes
different = int((codes != expected["pose_codes"]).sum())
error = (model.decode(codes).rotations - expected["pose_decoded"]).abs().max().item()
print(f"pose tokenizer: {different} of {codes.numel()} codes differ, largest rotation error {error:.1e}")
sys.exit(different > 0 or error > 1e-4)
