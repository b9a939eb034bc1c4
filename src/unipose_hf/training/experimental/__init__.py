# SPDX-License-Identifier: Apache-2.0
"""Training that the paper does not have: losses on whole poses, self-training on own texts, rendered people, Muon."""
