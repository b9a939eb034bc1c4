# SPDX-License-Identifier: Apache-2.0
"""The page in a real browser: say, choose, edit, undo, download. Skipped without playwright or chromium."""

import json
import shutil

import numpy as np
import pytest
import torch

from unipose_hf import Pose
from unipose_hf.body import mirror_pose

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (apt-get install chromium)")
FLAGS = "--no-sandbox --disable-gpu --enable-unsafe-swiftshader --disable-quic --no-first-run --disable-sync"
FLAGS += " --disable-background-networking --disable-component-update"
PATIENCE = 120_000  # milliseconds; the first answer reads the weights


@pytest.fixture(scope="module")
def page(served, tmp_path_factory):
    """The page, opened; at the end, nothing has been asked of another server."""
    asked = []
    with sync_api.sync_playwright() as play:
        context = play.chromium.launch_persistent_context(
            str(tmp_path_factory.mktemp("profile")),
            executable_path=CHROMIUM,
            headless=True,
            args=FLAGS.split(),
            viewport={"width": 1280, "height": 900},
            accept_downloads=True,
        )
        context.set_default_timeout(PATIENCE)
        context.on("request", lambda request: asked.append(request.url))
        page = context.pages[0]
        page.goto(served)
        yield page
        context.close()
    assert not [url for url in asked if not url.startswith((served, "data:", "blob:"))]


def pose_after(page, before=""):
    """Waits until the page shows another pose than `before`; its axis-angle as the page's text."""
    box = "document.querySelector('#numbers textarea').value"
    page.wait_for_function(f"before => {box} && {box} !== before", arg=before)
    return page.evaluate(box)


def test_say_choose_edit_undo_and_download(page, tmp_path):
    page.locator("#words textarea").fill("a person kneeling, arms raised")
    page.locator("#ask").click()
    said = pose_after(page)
    pictures = page.locator("#poses .thumbnail-item")
    assert pictures.count() == 4
    pictures.nth(2).click()
    chosen = pose_after(page, said)
    page.locator("#change textarea").fill("Lower the left arm.")
    page.locator("#change button").click()
    edited = pose_after(page, chosen)
    assert page.locator("#steps .thumbnail-item").count() == 2
    page.locator("#undo").click()
    assert pose_after(page, edited) == chosen
    page.wait_for_timeout(5000)  # the files follow the pose
    with page.expect_download() as waiting:
        page.locator("#files a").first.click()
    waiting.value.save_as(tmp_path / "pose.glb")
    expected = Pose(json.loads(chosen)).joints  # rounded to four decimals on the page
    np.testing.assert_allclose(Pose.from_glb(tmp_path / "pose.glb").joints, expected, atol=2e-3)


def test_a_mistake_is_a_sentence_on_the_page(page):
    page.locator("#words textarea").fill("")
    page.locator("#ask").click()
    sentence = page.get_by_text("The text is empty")
    sentence.wait_for()
    assert "write a sentence" in sentence.text_content()


def test_a_pose_is_mirrored_in_the_widget(page):
    shown = page.locator("#numbers textarea").input_value()
    page.locator("#words textarea").fill("a boxer punching with the left hand")
    page.locator("#ask").click()
    before = pose_after(page, shown)
    page.get_by_role("tab", name="Pose", exact=True).click()
    page.wait_for_selector(".posing-view[data-ready=true]")
    page.get_by_role("button", name="Mirror").click()
    mirrored = pose_after(page, before)
    expected = mirror_pose(torch.tensor(json.loads(before)))
    np.testing.assert_allclose(json.loads(mirrored), expected, atol=2e-3)
    assert page.locator("#caption textarea").input_value()
