# SPDX-License-Identifier: Apache-2.0
"""Training beyond the paper: losses on whole poses, self-training with rewards, rendered people, Muon."""
