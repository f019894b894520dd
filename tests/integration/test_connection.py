"""Redis' own failures leave the boundary as ours."""

import asyncio
import contextlib

import pytest
import uvloop
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from jobs.errors import ServiceUnavailable, StoreUnavailable
from jobs.redis.connection import connections, translate_redis_errors

pytestmark = pytest.mark.anyio

IN_A_SCRIPT = "ERR Error running script (call to f_59be): @user_script:7: @user_script: 7: -"
"""How Redis 6.2 begins what a command inside a script has failed with."""
STATES = [
    "CLUSTERDOWN The cluster is down",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "NOSCRIPT No matching script. Please use EVAL.",
    "NOREPLICAS Not enough good replicas to write.",
    "MISCONF Redis is configured to save RDB snapshots, but it is currently not able to persist on disk.",
    "READONLY You can't write against a read only replica.",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "BUSY Redis is busy running a script.",
    "LOADING Redis is loading the dataset in memory",
    "NOAUTH Authentication required.",
    "NOPERM this user has no permissions to run the 'evalsha' command",
]
MISTAKES = [
    "ERR wrong number of arguments for 'get' command",
    "WRONGTYPE Operation against a key holding the wrong kind of value",
    f"{IN_A_SCRIPT}WRONGTYPE Operation against a key holding the wrong kind of value",
    "ERR Error running script (call to f_59be): @user_script:7: user_script:7: attempt to index a nil value",
]


@contextlib.asynccontextmanager
async def answering(error):
    """A client of a server that answers every command with this error."""

    async def serve(reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while parts := int((await reader.readuntil(b"\n"))[1:]):
                for _ in range(parts):
                    await reader.readexactly(int((await reader.readuntil(b"\n"))[1:]) + 2)
                writer.write(f"-{error}\r\n".encode())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, Redis(port=server.sockets[0].getsockname()[1]) as client:
        yield client


@pytest.mark.parametrize("state", [*STATES, *(IN_A_SCRIPT + state for state in STATES if "script" not in state)])
async def test_a_redis_that_does_nothing_just_now_is_unavailable_also_to_a_pipeline(state):
    async with answering(state) as client:
        with pytest.raises(StoreUnavailable), translate_redis_errors():
            await client.get("k")
        with pytest.raises(StoreUnavailable), translate_redis_errors():
            await client.pipeline(transaction=False).get("k").execute()


@pytest.mark.parametrize("mistake", MISTAKES)
async def test_a_command_that_is_wrong_is_a_mistake_of_ours(mistake):
    async with answering(mistake) as client:
        with pytest.raises(ResponseError), translate_redis_errors():
            await client.get("k")
        with pytest.raises(ResponseError), translate_redis_errors():
            await client.pipeline(transaction=False).get("k").execute()


@pytest.mark.parametrize("command", [("SET", "k", "v"), ("EVAL", "return redis.call('SET', 'k', 'v')", "0")])
async def test_a_memory_that_ran_out_is_told_also_of_a_command_inside_a_script(redis, command):
    await redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(ServiceUnavailable) as refused, translate_redis_errors():
            await redis.execute_command(*command)
    finally:
        await redis.config_set("maxmemory", 0)

    assert refused.value.details["reason"] == "store_full"


def test_a_connection_that_was_cut_before_it_is_written_to_is_a_store_out_of_reach(redis_url):
    """uvloop has an error of its own for it, which redis-py does not know."""

    async def write_to_the_cut():
        pool = connections(redis_url)
        connection = await pool.get_connection()
        connection._writer.transport.abort()  # noqa: SLF001  # as the far end does between two commands
        try:
            with translate_redis_errors():
                await connection.send_command("PING")
        finally:
            await pool.disconnect()

    with pytest.raises(StoreUnavailable):
        uvloop.run(write_to_the_cut())
