# SPDX-License-Identifier: Apache-2.0
"""The data sets: their terms, whether they may be redistributed, and where to get them.

The package contains none of them except PoseEst-Open. The terms are summarised in our words; those on the set's own
page apply.
"""

from typing import NamedTuple


class Licence(NamedTuple):
    """Terms of a data set.

    Attributes:
        terms: short summary.
        redistribution: whether the files may be redistributed.
        how: how to get the set.
    """

    terms: str
    redistribution: bool
    how: str


_FITS = (
    "; get the annotations with SMPL fits (.npz) that SPIN, ProHMR and 4D-Humans link in their repositories "
    "(nkolot/SPIN, nkolot/ProHMR, shubham-goel/4D-Humans on GitHub) and put them into the same folder; or in place of "
    "both the folders of .tar archives that 4D-Humans trains from"
)

LICENCES = {
    "AMASS": Licence(
        "non-commercial scientific research (Max Planck)",
        False,
        "register at amass.is.tue.mpg.de, download the sub-datasets in the format SMPL+H G or SMPL-X N and unpack "
        "them side by side into this folder",
    ),
    "MOYO": Licence(
        "non-commercial scientific research (Max Planck)",
        False,
        "register at moyo.is.tue.mpg.de, fetch an archive in AMASS format with the script of the repository "
        "sha2nkt/moyo_toolkit on GitHub (download_moyo.sh -a SMPLH_NEUTRAL) and unpack it here, so that there are the "
        "folders train and val; for its pictures fetch their archives, too (download_moyo.sh -i), unpack them into "
        "the folder images here, and put beside it moyo_v2.npz of hsmr_evaluation_data.tar.gz, which the repository "
        "IsshikiHugh/HSMR on GitHub links",
    ),
    "PoseScript": Licence(
        "texts CC BY-NC-SA 4.0; the poses are AMASS's and not in the set",
        True,
        "download posescript_release_v2.zip, linked in the repository naver/posescript on GitHub, and unpack it here",
    ),
    "PoseFix": Licence(
        "texts CC BY-NC-SA 4.0; the poses are AMASS's and not in the set",
        True,
        "download posefix_dataset_release.zip, linked in the repository naver/posescript on GitHub, and unpack it "
        "here",
    ),
    "Human3.6M": Licence(
        "academic use, by agreement with its authors",
        False,
        "register at vision.imar.ro/human3.6m, and put the frames of the videos into the folder images here"
        + _FITS
        + "; to measure pose estimation put h36m_val_p2.npz of 4D-Humans or h36m_valid_protocol2.npz of SPIN here",
    ),
    "MPI-INF-3DHP": Licence(
        "non-commercial research",
        False,
        "fill in the form at vcai.mpi-inf.mpg.de/3dhp-dataset and put the frames into the folder images here" + _FITS,
    ),
    "COCO": Licence(
        "annotations CC BY 4.0; the pictures under the terms of their owners at Flickr",
        False,
        "download the pictures and annotations at cocodataset.org and unpack them here" + _FITS,
    ),
    "MPII": Licence(
        "research, no commercial use: the authors do not own the pictures",
        False,
        "download the pictures at human-pose.mpi-inf.mpg.de into the folder images here, and the annotations as JSON "
        "that the repository leoxiaobin/deep-high-resolution-net.pytorch on GitHub links into the folder annot"
        + _FITS,
    ),
    "3DPW": Licence(
        "non-commercial scientific research (Max Planck)",
        False,
        "accept the terms at virtualhumans.mpi-inf.mpg.de/3DPW, download sequenceFiles and imageFiles and unpack them "
        "here",
    ),
    "EMDB": Licence(
        "by agreement with its authors (ETH Zurich)",
        False,
        "fill in the form at emdb.ait.ethz.ch, download the participants and unpack them here, so that there are the "
        "folders P0 to P9",
    ),
    "LSP": Licence(
        "none stated; the pictures were gathered from Flickr",
        False,
        "look for the Leeds Sports Pose archive of Sam Johnson and Mark Everingham (lsp_dataset.zip; its page "
        "sam.johnson.io/research/lsp.html is offline) and unpack it here, so that there is the folder images",
    ),
    "PoseEst-Open": Licence(
        "clip by clip as PROVENANCE.md says, all free to use",
        True,
        "build it: unipose build-data posest-open --size 20000 --output FOLDER",
    ),
}
