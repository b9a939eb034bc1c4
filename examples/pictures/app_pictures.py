# SPDX-License-Identifier: Apache-2.0
"""Takes the pictures of the app in the docs: its four tabs, and an animated one in which a pose is generated,
edited in words and dragged by hand. Needs playwright and chromium.

python examples/pictures/app_pictures.py docs/pictures
"""

import argparse
import io
import shutil
from pathlib import Path

from PIL import Image

SIZE = {"width": 1180, "height": 800}
WIDTH = 1000  # of the animated picture
PATIENCE = 180_000  # milliseconds
FLAGS = "--no-sandbox --disable-gpu --enable-unsafe-swiftshader --no-first-run --disable-sync"
ARROW = """
const arrow = document.createElement("div");
arrow.id = "arrow";
arrow.innerHTML = `<svg width="22" height="26"><path d="M2 2 L2 21 L7 16 L11 24 L14 22 L10 15 L17 15 Z" fill="#111"
  stroke="#fff" stroke-width="1.5"/></svg>`;
arrow.style.cssText = "position:fixed;left:-50px;top:0;z-index:99999;pointer-events:none";
document.body.append(arrow);
addEventListener("pointermove", (event) => {
  arrow.style.left = `${event.clientX}px`;
  arrow.style.top = `${event.clientY}px`;
}, true);
"""


class Recording:
    """Frames of the page, each with the time it stays, in milliseconds."""

    def __init__(self, page):
        self.page, self.frames, self.times = page, [], []

    def take(self, milliseconds: int) -> None:
        frame = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
        self.frames.append(frame.resize((WIDTH, round(WIDTH * frame.height / frame.width)), Image.Resampling.LANCZOS))
        self.times.append(milliseconds)

    def type(self, box, text: str, steps: int = 4) -> None:
        self.point(box)
        box.click()
        for step in range(1, steps + 1):
            box.fill(text[: len(text) * step // steps])
            self.take(160 if step < steps else 500)

    def point(self, element) -> None:
        element.scroll_into_view_if_needed()
        box = element.bounding_box()
        self.page.mouse.move(box["x"] + min(box["width"] / 2, 120), box["y"] + box["height"] / 2)

    def click(self, element) -> None:
        self.point(element)
        self.take(350)
        element.click()

    def save(self, path: Path) -> None:
        """An animated WebP that starts over after a while."""
        self.frames[0].save(
            path, save_all=True, append_images=self.frames[1:], duration=self.times, loop=0, quality=75, method=6
        )


def numbers(page) -> str:
    return page.locator("#numbers textarea").input_value()


def changed(page, before: str) -> None:
    page.wait_for_function("b => document.querySelector('#numbers textarea').value !== b", arg=before)
    page.wait_for_timeout(3500)  # the 3D view and the files follow
    view, earlier = page.locator("#body"), None
    while view.is_visible():
        picture = view.screenshot(animations="disabled")
        with Image.open(io.BytesIO(picture)) as seen:
            drawn = len(set(seen.convert("RGB").resize((64, 64)).crop((0, 10, 64, 64)).getdata())) > 100
        if drawn and picture == earlier:
            break
        earlier = picture
        page.wait_for_timeout(1000)


def choose_tab(page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()
    page.wait_for_timeout(800)


def record(page, path: Path) -> None:
    page.evaluate(ARROW)
    recording = Recording(page)
    recording.type(page.locator("#words textarea"), "a person kneeling, arms raised")
    before = numbers(page)
    recording.click(page.locator("#ask"))
    changed(page, before)
    recording.take(1400)
    before = numbers(page)
    recording.click(page.locator("#poses .thumbnail-item").nth(1))
    changed(page, before)
    recording.take(1200)
    recording.type(page.locator("#change textarea, #change input").first, "Lower the left arm.", 3)
    before = numbers(page)
    recording.click(page.locator("#change button"))
    changed(page, before)
    recording.take(1800)
    choose_tab(page, "Pose")
    page.wait_for_selector(".posing-view[data-ready=true]")
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(2500)
    recording.take(900)
    x, y = page.evaluate("document.querySelector('.posing-view').positionOf('right_wrist')")
    page.mouse.move(x, y)
    recording.take(400)
    page.mouse.down()
    before = numbers(page)
    for step in range(1, 9):
        page.mouse.move(x - 8 * step, y + 14 * step)
        page.wait_for_timeout(250)
        recording.take(120)
    page.mouse.up()
    changed(page, before)
    recording.take(2200)
    page.evaluate("document.querySelector('#arrow').remove()")
    recording.save(path)


def take_tabs(page, folder: Path) -> None:
    def take(name: str) -> None:
        page.evaluate("scrollTo(0, 0)")
        page.mouse.move(0, 0)
        page.wait_for_timeout(500)
        picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        picture.save(folder / f"app_{name}.jpg", quality=82, optimize=True)

    take("pose")
    before = numbers(page)
    choose_tab(page, "Estimate")
    page.locator("#sample").click()
    changed(page, before)
    page.wait_for_timeout(2000)
    take("estimate")
    choose_tab(page, "Search")
    page.locator("#query textarea, #query input").first.fill("warrior")
    page.locator("#find").click()
    page.wait_for_selector("#named .thumbnail-item")
    before = numbers(page)
    page.locator("#named .thumbnail-item").nth(1).click()
    changed(page, before)
    page.locator("#alike").click()
    page.get_by_text(", 0 cm away").first.wait_for()
    page.wait_for_timeout(2000)
    take("search")
    choose_tab(page, "Say")
    before = numbers(page)
    page.locator("#words textarea").fill("sitting cross-legged with the hands on the knees")
    page.locator("#ask").click()
    changed(page, before)
    take("say")


def main(folder: Path, url: str | None) -> None:
    from playwright.sync_api import sync_playwright

    served = None
    if url is None:
        from unipose_hf.app.serving import launch

        served = launch(prevent_thread_lock=True, quiet=True)
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS.split())
        page = browser.new_page(viewport=SIZE)
        page.set_default_timeout(PATIENCE)
        page.goto(url or served.local_url)
        record(page, folder / "app.webp")
        take_tabs(page, folder)
        browser.close()
    if served is not None:
        served.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--url", help="of a page that is served already; by default the script serves one")
    main(**vars(parser.parse_args()))
