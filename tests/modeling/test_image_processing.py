# SPDX-License-Identifier: Apache-2.0
import contextlib
import http.server
import io
import threading

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps, PngImagePlugin
from transformers import CLIPImageProcessorPil

from unipose_hf import UniPoseImageProcessor
from unipose_hf.modeling import fetching_unipose as fetching
from unipose_hf.modeling.image_processing_unipose import load_picture


def photo(width=60, height=40, seed=0):
    """A smooth random picture, (height, width, 3) uint8."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC))


def view(image, **options):
    processor = UniPoseImageProcessor(**{"pose_size": 32} | options)
    return processor(image, return_tensors="pt")["pose_pixel_values"][0]


# -- the two views -------------------------------------------------------------------------------------------------


def test_square_view_pads_the_whole_picture():
    output = UniPoseImageProcessor(pose_size=32)(np.full((16, 64, 3), 255, np.uint8), return_tensors="pt")
    assert list(output) == ["pose_pixel_values"]
    pixels = output["pose_pixel_values"]
    assert pixels.shape == (1, 3, 32, 32) and pixels.dtype == torch.float32
    assert pixels[0, :, 12:20].eq(1).all()
    assert pixels[0, :, :12].eq(0).all() and pixels[0, :, 20:].eq(0).all()


def test_square_picture_of_the_right_size_is_not_touched():
    image = photo(32, 32)
    expected = torch.from_numpy(image.copy()).permute(2, 0, 1) / 255
    torch.testing.assert_close(view(image), expected)


def test_general_view_is_that_of_clip():
    image = photo(61, 40)
    clip = CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    ours = UniPoseImageProcessor(general_size=28, pose_size=[32, 24], pose_view="crop")(image, return_tensors="pt")
    torch.testing.assert_close(ours["pixel_values"], clip(image, return_tensors="pt")["pixel_values"])
    assert ours["pose_pixel_values"].shape == (1, 3, 32, 24)


@pytest.mark.parametrize(("width", "height"), [(61, 40), (40, 61), (64, 64)])
def test_crop_view_is_resize_crop_normalize(width, height):
    image = Image.fromarray(photo(width, height))
    short = min(width, height)
    resized = image.resize((32 * width // short, 32 * height // short), Image.Resampling.BICUBIC)
    left, top = round((resized.width - 32) / 2), round((resized.height - 32) / 2)
    square = np.asarray(resized.crop((left, top, left + 32, top + 32)), np.float32) / 255
    square = (square - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    expected = torch.from_numpy(square[:, 4:28]).permute(2, 0, 1).float()
    torch.testing.assert_close(view(image, pose_size=(32, 24), pose_view="crop"), expected)
    full = view(image, pose_view="crop")
    torch.testing.assert_close(full[:, :, 4:28], expected)


# -- boxes ---------------------------------------------------------------------------------------------------------


def test_box_is_cut_from_the_full_picture():
    image = photo(400, 300)
    box = (100, 80, 180, 120)  # 80 x 40 about (140, 100); the square has the side 100
    pixels = UniPoseImageProcessor(pose_size=100)(image, boxes=[box], return_tensors="pt")["pose_pixel_values"][0]
    expected = torch.from_numpy(image[50:150, 90:190].copy()).permute(2, 0, 1) / 255
    torch.testing.assert_close(pixels, expected)


def test_box_at_the_edge_is_black_outside():
    image = np.full((100, 100, 3), 255, np.uint8)
    processor = UniPoseImageProcessor(pose_size=32, box_margin=2.0)
    pixels = processor(image, boxes=[(-50, 0, 50, 50)], return_tensors="pt")["pose_pixel_values"][0]
    # only (0, 0, 50, 50) is inside, so the square is (-25, -25, 75, 75)
    assert pixels[:, 8:, 8:].eq(1).all() and pixels[:, :8].eq(0).all() and pixels[:, :, :8].eq(0).all()


def test_box_applies_to_both_views():
    processor = UniPoseImageProcessor(general_size=28, pose_size=28, pose_view="crop")
    image = photo(100, 80)
    output = processor(image, boxes=[(20, 20, 60, 60)])
    mean, std = (np.array(v)[:, None, None] for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    clip_mean = np.array([0.48145466, 0.4578275, 0.40821073])[:, None, None]
    clip_std = np.array([0.26862954, 0.26130258, 0.27577711])[:, None, None]
    np.testing.assert_allclose(
        output["pixel_values"][0] * clip_std + clip_mean, output["pose_pixel_values"][0] * std + mean, atol=1e-5
    )


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((10, 10, 10, 20), "is empty"),
        ((30, 10, 10, 20), "is empty"),
        ((200, 10, 300, 20), "outside the image of 60 x 40"),
        ((0.1, 0.1, 0.9, 0.9), "not fractions"),
        ((0, 0, float("nan"), 9), "four finite numbers"),
        ((0, 0, 9), "four finite numbers"),
        ("left", "four finite numbers"),
    ],
)
def test_wrong_boxes(box, message):
    with pytest.raises(ValueError, match=message):
        UniPoseImageProcessor(pose_size=32)(photo(), boxes=[box])


def test_as_many_boxes_as_pictures():
    with pytest.raises(ValueError, match="2 boxes for 1 images"):
        UniPoseImageProcessor()(photo(), boxes=[None, None])


# -- kinds of pictures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["path", "Path", "bytes", "file", "PIL", "array", "floats", "CHW", "tensor", "uint16"]
)
def test_one_picture_in_any_form(kind, tmp_path):
    image = photo()
    path = tmp_path / "photo.png"
    Image.fromarray(image).save(path)
    form = {
        "path": str(path),
        "Path": path,
        "bytes": path.read_bytes(),
        "file": io.BytesIO(path.read_bytes()),
        "PIL": Image.fromarray(image),
        "array": image,
        "floats": image / 255,
        "CHW": image.transpose(2, 0, 1),
        "tensor": torch.from_numpy(image.copy()).permute(2, 0, 1).float() / 255,
        "uint16": image.astype(np.uint16) * 257,
    }[kind]
    torch.testing.assert_close(view(form), view(image))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "CMYK", "1", "I;16", "F", "YCbCr", "PA"])
def test_every_mode_becomes_rgb(mode, tmp_path):
    grey = Image.fromarray(photo()).convert("L")
    if mode == "I;16":
        image = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
        assert image.mode == mode
    elif mode == "F":
        image = Image.fromarray(np.asarray(grey, np.float32) / 255)
    elif mode == "PA":
        image = grey.convert("RGBA").convert("P").convert("PA")
    else:
        image = grey.convert(mode)
    picture = load_picture(image)
    assert picture.mode == "RGB" and picture.size == (60, 40)
    if mode not in ("1", "CMYK", "P", "PA"):
        assert np.abs(np.asarray(picture)[..., 0].astype(int) - np.asarray(grey)).max() <= 1


def test_transparent_is_white(tmp_path):
    image = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
    assert np.asarray(load_picture(image)).min() == 255
    path = tmp_path / "palette.png"
    image.quantize(4).save(path)
    assert np.asarray(load_picture(path)).min() == 255


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_are_applied(orientation, tmp_path):
    upright = Image.fromarray(photo())
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.png"
    upright.save(path, exif=exif)
    picture = load_picture(path)
    assert picture.size == ((40, 60) if orientation >= 5 else (60, 40))
    again = load_picture(picture)
    assert np.array_equal(np.asarray(picture), np.asarray(again))
    assert np.array_equal(np.asarray(picture), np.asarray(ImageOps.exif_transpose(Image.open(path))))


def test_batches_keep_their_order():
    images = [photo(60, 40, seed) for seed in range(4)]
    processor = UniPoseImageProcessor(pose_size=32)
    expected = np.stack([processor(image)["pose_pixel_values"][0] for image in images])
    for form in (images, [images[:1], [], images[1:]], np.stack(images), torch.from_numpy(np.stack(images))):
        assert np.array_equal(processor(form)["pose_pixel_values"], expected)


# -- what goes wrong -----------------------------------------------------------------------------------------------


def test_broken_files(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="no image '.*gone.jpg'"):
        load_picture(tmp_path / "gone.jpg")
    whole = tmp_path / "whole.jpg"
    Image.fromarray(photo(200, 200)).save(whole)
    for suffix, options in ((".jpg", {}), (".png", {}), (".webp", {})):
        file = io.BytesIO()
        Image.fromarray(photo(200, 200)).save(file, format={".jpg": "JPEG"}.get(suffix, suffix[1:].upper()), **options)
        cut = tmp_path / f"cut{suffix}"
        cut.write_bytes(file.getvalue()[: len(file.getvalue()) // 2])
        with pytest.raises(ValueError, match="cut.*(damaged|not an image)"):
            load_picture(cut)
    text = tmp_path / "text.jpg"
    text.write_text("hello")
    empty = tmp_path / "empty.png"
    empty.touch()
    for path in (text, empty, tmp_path):
        with pytest.raises(ValueError, match="is not an image"):
            load_picture(path)
    monkeypatch.setenv(fetching.ALLOW_PRIVATE, "1")
    with pytest.raises(ValueError, match="http://127.0.0.1:9/a.jpg could not be fetched"):
        load_picture("http://127.0.0.1:9/a.jpg")
    for content, message in (("abc", "is damaged"), ("aGVsbG8=", "is not an image")):
        with pytest.raises(ValueError, match=f"The data URL {message}"):
            load_picture(f"data:image/png;base64,{content}")


@pytest.fixture
def server(tmp_path):
    """Serves a picture, a large file, and redirects to what stands behind the question mark."""
    picture = io.BytesIO()
    Image.fromarray(photo(60, 80)).save(picture, "PNG")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            path, _, target = self.path.partition("?")
            self.send_response({"/to": 302, "/none": 404}.get(path, 200))
            if target:
                self.send_header("Location", target)
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                self.wfile.write(bytes(200_000) if path == "/large" else picture.getvalue())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_pictures_of_the_own_network_are_fetched_where_that_is_allowed(server, monkeypatch):
    with pytest.raises(ValueError, match=rf"{server}/a.png could not .* not a public internet address.*=1"):
        load_picture(f"{server}/a.png")
    monkeypatch.setenv(fetching.ALLOW_PRIVATE, "1")
    assert load_picture(f"{server}/a.png").size == (60, 80) == load_picture(f"{server}/to?/a.png").size
    with pytest.raises(ValueError, match="none could not be fetched .*404"):
        load_picture(f"{server}/none")
    with pytest.raises(ValueError, match="more than 5 redirects"):
        load_picture(f"{server}/to" + "?/to" * 6)


@pytest.mark.parametrize(
    "host", ["localhost", "127.1", "10.0.0.1", "169.254.169.254", "[::1]", "[::ffff:10.0.0.1]", "0.0.0.0", "224.0.0.1"]
)
def test_addresses_that_are_not_public_are_refused(host):
    with pytest.raises(ValueError, match="not a public internet address"):
        load_picture(f"http://{host}:9/a.png")


def test_a_redirect_is_looked_at_as_the_first_address_was(server, monkeypatch):
    refuse = fetching._check_public
    monkeypatch.setattr(fetching, "_check_public", lambda address: address == "127.0.0.1" or refuse(address))
    assert load_picture(f"{server}/to?/a.png").size == (60, 80)
    with pytest.raises(ValueError, match="10.0.0.1 is not a public internet address"):
        load_picture(f"{server}/to?http://10.0.0.1/a.png")
    with pytest.raises(ValueError, match="neither http nor https"):
        load_picture(f"{server}/to?file:///etc/passwd")


def test_a_name_that_is_answered_otherwise_the_second_time(server, monkeypatch):
    monkeypatch.setattr(fetching, "_check_address", lambda url: True)  # as if it resolved to a public address
    with pytest.raises(ValueError, match="127.0.0.1 is not a public internet address"):
        load_picture(f"{server}/a.png")


def test_a_fetched_file_has_a_limit(server, monkeypatch):
    monkeypatch.setenv(fetching.ALLOW_PRIVATE, "1")
    monkeypatch.setattr(fetching, "MAX_BYTES", 100_000)
    with pytest.raises(ValueError, match="large could not be fetched .*MiB"):
        load_picture(f"{server}/large")


def test_only_kinds_of_files_that_are_pictures_are_opened(tmp_path):
    for name, options in (("a.eps", {}), ("a.pdf", {}), ("a.ico", {}), ("a.tga", {})):
        Image.fromarray(photo(64, 64)).save(tmp_path / name, **options)
        with pytest.raises(ValueError, match=f"{name}.* is not an image that PIL can read"):
            load_picture(tmp_path / name)
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "PPM"):
        Image.fromarray(photo(64, 64)).save(tmp_path / "a.jpg", kind)
        assert load_picture(tmp_path / "a.jpg").size == (64, 64)


def test_decompression_bombs_are_named(tmp_path):
    wide = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(wide, "PNG")
    words = PngImagePlugin.PngInfo()
    words.add_text("a", "a" * 2**21, zip=True)
    Image.new("RGB", (64, 64)).save(tmp_path / "words.png", pnginfo=words)
    for bomb in (wide.getvalue(), tmp_path / "words.png"):
        with pytest.raises(ValueError, match="is a decompression bomb"):
            load_picture(bomb)


def test_absurd_sizes(tmp_path):
    for width, height, message in ((15, 40, "at least 16"), (400, 19, "thinner than 1:20"), (0, 0, "at least|shape")):
        with pytest.raises(ValueError, match=message):
            load_picture(np.zeros((height, width), np.uint8))
    path = tmp_path / "huge.png"
    Image.new("1", (10_001, 10_000)).save(path)
    with pytest.raises(ValueError, match="megapixels"):
        load_picture(str(path))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((40, 40, 2)), r"\(40, 40, 2\)"),
        (np.zeros((40,)), r"\(40,\)"),
        (np.zeros((2, 40, 40, 3)), r"\(2, 40, 40, 3\)"),
        (np.full((40, 40), np.nan), "NaN"),
        (np.full((40, 40), 200.0), r"from 200 to 200.*\[0, 1\]"),
        (np.full((40, 40), -0.5), r"\[0, 1\]"),
        (np.full((40, 40), 300), r"\[0, 255\]"),
        (np.full((40, 40), "a"), "type is <U1"),
        (np.zeros((40, 40), complex), "complex"),
        (7, "int was given"),
        (None, "NoneType was given"),
    ],
)
def test_wrong_arrays(array, message):
    with pytest.raises(ValueError, match=message):
        load_picture(array)


def test_wrong_options():
    with pytest.raises(ValueError, match="pose_view"):
        UniPoseImageProcessor(pose_view="round")
    with pytest.raises(ValueError, match="needs a single number"):
        UniPoseImageProcessor(pose_size=(256, 192))


def test_shared_options_are_obeyed():
    image = photo(32, 32)
    values = torch.from_numpy(image.copy()).permute(2, 0, 1).float()
    torch.testing.assert_close(view(image, do_rescale=False), values)
    torch.testing.assert_close(view(image, rescale_factor=1 / 127.5), values / 127.5)
    torch.testing.assert_close(view(image, pose_view="crop", do_normalize=False), values / 255)
    for do_normalize in (True, False):  # set once or per call
        made = UniPoseImageProcessor(pose_size=32, general_size=28, pose_view="crop", do_normalize=do_normalize)
        called = UniPoseImageProcessor(pose_size=32, general_size=28, pose_view="crop")
        for name, pixels in called(image, do_normalize=do_normalize).items():
            np.testing.assert_array_equal(pixels, made(image)[name])
    assert list(called(image, general_size=None)) == ["pose_pixel_values"]
    assert called.model_input_names == ["pixel_values", "pose_pixel_values"] == list(called(image))
    assert UniPoseImageProcessor().model_input_names == ["pose_pixel_values"]
    always = dict(do_resize=True, do_convert_rgb=True, data_format="channels_first", size=None)
    torch.testing.assert_close(view(image, **always), view(image))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"size": 64}, "size cannot be set.*general_size, pose_size or pose_view"),
        ({"size": {"height": 64, "width": 64}}, "size cannot be set"),
        ({"crop_size": 64}, "crop_size cannot be set"),
        ({"image_mean": [0.5, 0.5, 0.5]}, "image_mean cannot be set"),
        ({"resample": 0}, "resample cannot be set"),
        ({"do_center_crop": False}, "do_center_crop cannot be set"),
        ({"do_resize": False}, "do_resize is False, but .* only supports True"),
        ({"data_format": "channels_last"}, "only supports 'channels_first'"),
        ({"pose_sise": 64}, "has no option 'pose_sise'; it has general_size, pose_size"),
        ({"pose_view": "round"}, "pose_view is"),
        ({"pose_size": (32, 24)}, "needs a single number"),
    ],
)
def test_options_that_cannot_be_obeyed_are_refused(option, message):
    with pytest.raises(ValueError, match=message):
        UniPoseImageProcessor(pose_size=32)(photo(), **option)
    with pytest.raises(ValueError, match=message):
        UniPoseImageProcessor(**option)


def test_saved_is_loaded(tmp_path):
    processor = UniPoseImageProcessor(general_size=28, pose_size=[32, 24], pose_view="crop", box_margin=1.5)
    processor.save_pretrained(tmp_path)
    assert UniPoseImageProcessor.from_pretrained(tmp_path).to_dict() == processor.to_dict()
