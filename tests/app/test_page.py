# SPDX-License-Identifier: Apache-2.0
"""The page is built and served, and its tools answer Gradio's and MCP's clients. Skipped without the extra `app`."""

import ast
import asyncio
from pathlib import Path

import numpy as np
import pytest

import unipose_hf
from unipose_hf import Pose

gradio_client = pytest.importorskip("gradio_client", reason="the extra app is not installed")
TOOLS = {"generate", "edit", "describe", "search", "nearest", "estimate", "export"}


def test_tools_answer_a_client(served, tmp_path):
    client = gradio_client.Client(served, verbose=False, download_files=str(tmp_path))
    assert set(client.view_api(print_info=False, return_format="dict")["named_endpoints"]) == {
        f"/{tool}" for tool in TOOLS
    }
    [found] = client.predict("warrior two", 1, ["named"], api_name="/search")
    assert client.predict(found["pose"], "short", api_name="/describe") == "warrior II"
    assert client.predict(found["pose"], 1, ["named", "open"], api_name="/nearest")[0]["name"] == found["name"]
    lowered = client.predict(found["pose"], "Lower both arms.", ["left arm"], api_name="/edit")["pose"]
    file = client.predict(lowered, "glb", api_name="/export")
    np.testing.assert_allclose(Pose.from_glb(file).joints, Pose.from_dict(lowered).joints, atol=1e-3)
    photo = gradio_client.handle_file(str(unipose_hf.sample("photo.jpg")))
    [person] = client.predict(photo, api_name="/estimate")
    assert 0 < person["score"] <= 1


def test_a_clients_mistake_is_a_sentence(served):
    client = gradio_client.Client(served, verbose=False)
    with pytest.raises(Exception, match="text is empty"):
        client.predict("", 4, 0, api_name="/generate")


def test_an_assistant_finds_the_tools_and_edits_a_pose(served):
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    async def talk():
        async with streamablehttp_client(f"{served}gradio_api/mcp/") as (read, write, _):
            async with ClientSession(read, write) as session:
                await session.initialize()
                tools = {tool.name.split("_")[-1]: tool for tool in (await session.list_tools()).tools}
                assert set(tools) == TOOLS
                assert "plain English" in tools["generate"].inputSchema["properties"]["text"]["description"]
                assert tools["export"].inputSchema["properties"]["pose"]["type"] == "object"
                pose = unipose_hf.named_pose("warrior two").to_dict()
                answer = await session.call_tool(tools["edit"].name, {"pose": pose, "text": "Lower both arms."})
                assert not answer.isError, answer
                return ast.literal_eval(answer.content[0].text)  # Gradio writes Python's form

    changed = asyncio.run(talk())
    before, after = unipose_hf.named_pose("warrior two").joints, Pose.from_dict(changed["pose"]).joints
    assert (after[20:22, 1] < before[20:22, 1] - 0.2).all()  # the wrists, in metres


def test_what_the_widget_needs_is_served(served):
    import httpx

    from unipose_hf.app.widget import WEB, widget_files

    for file in widget_files():
        answer = httpx.get(f"{served}gradio_api/file={file}")
        assert answer.status_code == 200 and answer.content == Path(file).read_bytes()
        assert file.suffix != ".js" or "javascript" in answer.headers["content-type"]  # modules need it
    assert (WEB / "three.min.js").stat().st_size < 1_500_000
    assert httpx.get(f"{served}gradio_api/file={WEB.parent / 'page.py'}").status_code == 403


def test_the_nearest_person_is_chosen():
    from unipose_hf.app.page import nearest_box

    boxes = [[0, 0, 100, 100], [60, 0, 120, 100], [200, 0, 300, 100]]
    assert [nearest_box((x, 50), boxes) for x in (10, 90, 180, 290)] == [0, 1, 2, 2]
