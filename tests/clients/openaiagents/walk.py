"""What people do with OpenAI's Agents SDK, against the gateway on stdin; on stdout what came of it."""

import asyncio
import json
import sys
from importlib.metadata import version

from agents import Agent, ImageGenerationTool, OpenAIResponsesModel, Runner, set_tracing_disabled
from openai import AsyncOpenAI

TOLD = json.load(sys.stdin)


def results(result):
    calls = [item.raw_item for item in result.new_items if item.type == "tool_call_item"]
    return [{"type": call.type, "status": call.status, "result": call.result} for call in calls]


async def main():
    set_tracing_disabled(disabled=True)
    asking = AsyncOpenAI(base_url=f"{TOLD['url']}/v1", api_key=TOLD["token"], max_retries=0)
    tool = ImageGenerationTool(tool_config={"type": "image_generation", "model": "gpt-image-2", "quality": "low"})
    painter = Agent(
        name="Painter",
        instructions="Paint in oil.",
        model=OpenAIResponsesModel("gpt-4.1-mini", asking),
        tools=[tool],
    )
    first = await Runner.run(painter, "agents: a fox")
    second = await Runner.run(painter, [*first.to_input_list(), {"role": "user", "content": "agents: now grey"}])
    streaming = Runner.run_streamed(painter, "agents: a streamed fox")
    kinds = [event.data.type async for event in streaming.stream_events() if event.type == "raw_response_event"]
    found = {
        "version": version("openai-agents"),
        "first": results(first),
        "second": results(second),
        "streamed": results(streaming),
        "last": kinds[-1],
        "text": first.final_output,
        "tokens": first.context_wrapper.usage.total_tokens,
    }
    json.dump(found, sys.stdout)


asyncio.run(main())
