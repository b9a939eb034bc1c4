# SPDX-License-Identifier: Apache-2.0
"""Checks of output paths and boxes before a command starts."""

from pathlib import Path

SHEET = "sheet.jpg"  # of all pictures of a folder


def parse_box(text: str) -> tuple[float, ...]:
    try:
        x0, y0, x1, y1 = (float(number) for number in text.split(","))
    except ValueError:
        raise ValueError(
            f"--box is {text!r}; expected four numbers x0,y0,x1,y1 in pixels, for example --box 40,10,300,480."
        ) from None
    return x0, y0, x1, y1


def within(box: tuple[float, ...], width: int, height: int) -> tuple[float, ...]:
    """The part of a box inside an image."""
    x0, y0, x1, y1 = box
    return max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)


def pictures_in(images: list[str], suffixes: tuple[str, ...]) -> list[str]:
    """The pictures, with folders replaced by the pictures directly in them, by name; raises if there are none."""
    found = []
    for image in images:
        if image.startswith(("http://", "https://")) or not Path(image).is_dir():
            found.append(image)
            continue
        inside = sorted(str(file) for file in Path(image).iterdir() if file.suffix.lower() in suffixes)
        if not inside:
            raise FileNotFoundError(
                f"There are no pictures ({', '.join(suffixes)}) in the folder {image}; check the path."
            )
        found += inside
    return found


def result_names(images: list[str], output: Path) -> list[str]:
    """The name of each image's results, without suffix; raises if they would overwrite an image or other results."""
    names = {}
    for image in images:
        is_file = not image.startswith(("http://", "https://"))
        if is_file and not Path(image).is_file():
            raise FileNotFoundError(f"There is no picture {image}; check the path.")
        name = Path(image.split("?")[0]).stem
        written = [output / f"{name}.png", output / f"{name}-overlay.jpg", output / SHEET]
        if is_file and Path(image).resolve() in [file.resolve() for file in written]:
            raise ValueError(f"The results would overwrite the picture {image}; set another folder with --output.")
        if name in names:
            raise ValueError(
                f"The results of {names[name]} and {image} would have the same name; estimate one at a time."
            )
        names[name] = image
    return list(names)


def make_folder(folder: Path, option: str = "--output") -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"The folder {folder} cannot be created ({error.strerror}); set another one with {option}."
        ) from None
    check_writable(folder, option)


def check_target(file: Path, option: str = "--output") -> None:
    """Checks that a file can be written, before minutes of work."""
    if not file.parent.is_dir():
        raise FileNotFoundError(f"The folder {file.parent} does not exist; create it first.")
    if file.is_dir():
        raise ValueError(f"{option} is {file}, which is a folder; give a file name.")
    check_writable(file.parent, option)


def check_writable(folder: Path, option: str = "--output") -> None:
    import os

    if not os.access(folder, os.W_OK):
        raise ValueError(f"The folder {folder} is not writable; set another one with {option}.")
