# SPDX-License-Identifier: Apache-2.0
"""The page in a real browser: every tab, edits, files and the widget. Skipped without playwright or chromium."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import roma
import torch
from PIL import Image

from unipose_hf import Pose, app
from unipose_hf.app.joint_limits import for_browser, pose_limits
from unipose_hf.app.limbs import PARTS, changed_parts
from unipose_hf.body import JOINT_NAMES, mirror_pose
from unipose_hf.data.synthesis.joint_limits import swing_twist

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (apt-get install chromium)")
FLAGS = "--no-sandbox --disable-gpu --enable-unsafe-swiftshader --disable-quic --no-first-run --disable-sync"
FLAGS += " --disable-background-networking --disable-component-update"
WEB = Path(app.__file__).parent / "web"
LEFT_WRIST = JOINT_NAMES.index("left_wrist")
PATIENCE = 300_000  # milliseconds; the first answer reads the weights


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
    found = page.evaluate(box)
    while page.wait_for_timeout(1500) or (later := page.evaluate(box)) != found:  # taps come in parts if it is slow
        found = later
    return found


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


def generate(page, text):
    """The axis-angle of the pose that the page makes of a text."""
    shown = page.locator("#numbers textarea").input_value()
    page.get_by_role("tab", name="Say", exact=True).click()
    page.locator("#words textarea").fill(text)
    page.locator("#ask").click()
    return pose_after(page, shown)


def open_widget(page):
    page.get_by_role("tab", name="Pose", exact=True).click()
    page.wait_for_selector(".posing-view[data-ready=true]")
    page.wait_for_timeout(1500)  # the widget follows the pose


def let_move(page, *parts):
    for part in PARTS:
        page.locator("#free").get_by_role("checkbox", name=part).set_checked(part in parts)
    page.wait_for_timeout(1500)


def press(page, key, times):
    page.locator(".posing-view").focus()
    for _ in range(times):
        page.keyboard.press(key)


def tinted_pixels(page):
    """How many pixels of the widget are orange; its chosen dot is red, and neither clothes nor skin are."""
    picture = Image.open(io.BytesIO(page.locator(".posing-view canvas").screenshot())).convert("RGB")
    red, green, blue = np.asarray(picture).astype(int).transpose(2, 0, 1)
    return int(((red > 150) & (red - blue > 90) & (red - green > 25) & (green - blue > 30)).sum())


def drag(page, joint, right, down):
    x, y = page.evaluate(f"document.querySelector('.posing-view').positionOf('{joint}')")
    page.mouse.move(x, y)
    page.mouse.down()
    for step in range(1, 9):
        page.mouse.move(x + right * step / 8, y + down * step / 8)
    page.mouse.up()


def test_a_pose_is_mirrored_in_the_widget(page):
    before = generate(page, "a boxer punching with the left hand")
    open_widget(page)
    page.get_by_role("button", name="Mirror").click()
    mirrored = pose_after(page, before)
    expected = mirror_pose(torch.tensor(json.loads(before)))
    np.testing.assert_allclose(json.loads(mirrored), expected, atol=2e-3)
    assert page.locator("#caption textarea").input_value()


def test_a_dragged_hand_moves_its_arm_within_the_limits(page):
    before = generate(page, "standing with the arms hanging")
    open_widget(page)
    drag(page, "left_wrist", 60, -120)
    after = Pose(json.loads(pose_after(page, before)))
    before = Pose(json.loads(before))
    assert after.joints[LEFT_WRIST, 1] > before.joints[LEFT_WRIST, 1] + 0.2  # metres
    assert changed_parts(before, after) == ["left arm"]
    low, high = pose_limits()
    turns = swing_twist(torch.tensor(after.matrix))
    arm = [JOINT_NAMES.index(name) for name in ("left_shoulder", "left_elbow")]
    assert ((turns > low - 0.01) & (turns < high + 0.01))[arm].all()
    assert "left arm" in page.locator("#moved").text_content()


def test_joints_stop_at_their_limits_unless_these_are_off(page):
    before = generate(page, "standing with the arms hanging")
    open_widget(page)
    page.locator("[data-do=joint]").select_option(label="left knee")
    press(page, "ArrowUp", 12)  # sixty degrees, forwards
    knee = JOINT_NAMES.index("left_knee")
    kept = pose_after(page, before)
    assert np.degrees(json.loads(kept)[knee][0]) > -4
    assert "Left knee is at its limit." in page.locator(".posing-status").text_content()
    page.locator("[data-do=limits]").uncheck()
    press(page, "ArrowUp", 12)
    assert np.degrees(json.loads(pose_after(page, kept))[knee][0]) < -40
    page.locator("[data-do=limits]").check()


def test_limits_in_the_browser_are_those_in_python(page):
    turns = roma.random_unitquat((40, 22), generator=torch.Generator().manual_seed(0))
    expected = swing_twist(roma.unitquat_to_rotmat(turns))
    address = f"/gradio_api/file={WEB / 'limits.js'}"
    found, back = page.evaluate(
        """async ([address, limits, turns]) => {
            const { makeLimits } = await import(address);
            const made = makeLimits(limits);
            const found = turns.map((pose) => pose.map(([x, y, z, w], j) => made.coordinates(j, { x, y, z, w })));
            const back = found.map((pose) => pose.map((v, j) => Object.values(made.quaternion(j, v))));
            return [found, back];
        }""",
        [address, for_browser(), turns.tolist()],
    )
    np.testing.assert_allclose(found, expected, atol=2e-3)
    same = (torch.tensor(back) * turns).sum(-1).abs()  # q and -q are one rotation
    torch.testing.assert_close(same, torch.ones_like(same), atol=1e-4, rtol=0)


def test_locked_limbs_stay_and_changed_ones_are_tinted(page):
    before = generate(page, "standing with the arms stretched out to the sides")
    open_widget(page)
    assert tinted_pixels(page) < 50
    let_move(page, "left arm")
    page.locator("#change textarea").fill("Lower both arms.")
    page.locator("#change button").click()
    edited = pose_after(page, before)
    page.wait_for_timeout(1500)
    assert changed_parts(Pose(json.loads(before)), Pose(json.loads(edited))) == ["left arm"]
    assert page.locator("#moved").get_by_role("status").text_content() == "Changed by this step: left arm."
    assert tinted_pixels(page) > 300
    page.get_by_role("button", name="Reset all").click()
    reset = json.loads(pose_after(page, edited))
    assert np.abs(np.array(reset)[list(PARTS["left arm"])]).max() < 1e-4
    assert changed_parts(Pose(json.loads(edited)), Pose(reset)) == ["left arm"]
    page.locator("[data-do=joint]").select_option(label="right elbow (locked)")
    assert page.locator(".posing-status").text_content() == "Right elbow is locked."
    let_move(page, *PARTS)


def test_the_present_pose_finds_poses_like_it(page):
    before = generate(page, "standing with the arms hanging")
    page.get_by_role("tab", name="Search", exact=True).click()
    page.locator("#query textarea, #query input").first.fill("warrior two")
    page.locator("#find").click()
    found = page.locator("#named .thumbnail-item")
    found.first.click()
    chosen = pose_after(page, before)
    page.locator("#alike").click()
    page.get_by_text("warrior II, 0 cm away").wait_for()
    found.nth(1).click()
    other = Pose(json.loads(pose_after(page, chosen)))
    assert 0.01 < np.linalg.norm(other.joints - Pose(json.loads(chosen)).joints, axis=-1).mean() < 0.2  # metres


def test_the_page_fits_a_phone(page):
    size = page.viewport_size
    page.set_viewport_size({"width": 390, "height": 844})
    try:
        for tab in ("Say", "Estimate", "Search", "Pose"):
            page.get_by_role("tab", name=tab, exact=True).click()
            page.wait_for_timeout(500)
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, tab
    finally:
        page.set_viewport_size(size)


def test_every_control_has_a_name(page):
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, textarea, [role=application]")].filter((e) => (
            e.checkVisibility() && e.type !== "file" && !e.labels?.length && !e.getAttribute("aria-label")
            && !e.textContent.trim() && !e.title && !e.getAttribute("aria-labelledby") && !e.alt
            && !e.querySelector("img[alt]")
        )).map((e) => e.outerHTML.slice(0, 200))"""
    )
    assert unnamed == []
