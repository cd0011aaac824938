"""The endpoints as tools of an assistant: python app.py --mcp."""

import asyncio
import base64
from pathlib import Path

import pytest

from demo.studio import Studio
from demo.ui import build_ui, launch_settings

mcp = pytest.importorskip("mcp", reason='needs pip install "gradio[mcp]"')


@pytest.fixture
def address(studio: Studio, cache: Path):
    page = build_ui(studio)
    _, url, _ = page.launch(prevent_thread_lock=True, **launch_settings(studio, mcp=True))
    yield f"{url}gradio_api/mcp/"
    page.close()


async def session_with(address: str, use):
    from mcp.client.streamable_http import streamable_http_client

    async with (
        streamable_http_client(address) as (reading, writing, _),
        mcp.ClientSession(reading, writing) as session,
    ):
        await session.initialize()
        return await use(session)


def test_an_assistant_draws_a_photo(address: str, photo: Path):
    async def draw(session):
        sent = "data:image/jpeg;base64," + base64.b64encode(photo.read_bytes()).decode()
        tools = (await session.list_tools()).tools
        arguments = {"photo": sent, "style": "cartoon", "strength": 0.5}
        return tools, await session.call_tool("stylize_image", arguments)

    tools, answer = asyncio.run(session_with(address, draw))
    names = {tool.name for tool in tools}
    assert {"stylize_image", "vary", "apply_reference", "edit", "animate"} <= names
    (stylize,) = (tool for tool in tools if tool.name == "stylize_image")
    assert "0.0 to 1.0" in stylize.inputSchema["properties"]["strength"]["description"]
    assert not answer.isError, answer.content
    (picture,) = (part for part in answer.content if part.type == "image")
    assert len(base64.b64decode(picture.data)) > 500


def test_a_private_address_is_not_fetched(address: str):
    """A tool's caller must not make the server read what only the server can reach."""
    arguments = {"photo": "http://127.0.0.1:1/photo.png"}
    answer = asyncio.run(
        session_with(address, lambda session: session.call_tool("stylize_image", arguments))
    )
    assert answer.isError
