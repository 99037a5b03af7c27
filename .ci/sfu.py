"""The SFU as its users have it. Arguments: the program, a folder for pictures and logs, words that choose stories.

Each story is a function that says what it saw, or fails and says what it has seen instead. Those that only wait for
each other's media run side by side; those that count what a server has left have one of their own.
"""

import asyncio
import resource
import sys
import time
import traceback
from pathlib import Path

import sfu_abuse
import sfu_pages
import sfu_sessions
from sfu_browser import Browser
from sfu_peers import Server

# Side by side within a row, one row after the other: what is measured is not disturbed by what is heavy.
ROWS = [
    [
        sfu_pages.published_and_watched, sfu_sessions.aiortc_plays_aiortc, sfu_pages.tokens,
        sfu_pages.the_server_comes_back,
    ],
    [sfu_pages.the_publisher_goes_and_comes_back, sfu_sessions.chromium_and_aiortc, sfu_pages.simulcast],
    [sfu_pages.other_codecs, sfu_pages.another_device_on_the_air, sfu_abuse.bad_requests],
    [
        sfu_pages.a_network_that_is_no_good, sfu_pages.sizes_follow_the_network, sfu_pages.no_camera_at_first,
        sfu_sessions.sound_alone_and_picture_alone,
    ],
    [sfu_sessions.a_thousand_sessions, sfu_sessions.nothing_is_left],
    [sfu_abuse.noise_at_the_media_ports, sfu_abuse.impostors, sfu_abuse.slow_and_half_open_connections],
]


class Place:
    """What stories share: one server and one browser. And servers of their own."""

    def __init__(self, program, folder):
        self.program, self.folder = program, folder
        self.servers, self.browsers = {}, []

    async def start_browser(self, **options):
        """A browser whose camera nobody else has opened: tabs that share one do not get the size they ask for."""
        self.browsers.append(await Browser().start(**options))
        return self.browsers[-1]

    async def stop_browsers(self):
        while self.browsers:
            await self.browsers.pop().stop()

    async def start_server(self, name, *options, **more):
        """A server, which has to end well when all is over."""
        server = self.servers[name] = Server()
        return await server.start(self.program, self.folder / f"{name}.log", *options, **more)

    async def __aenter__(self):
        self.server = await self.start_server("server")
        self.browser = await self.start_browser()
        return self

    async def __aexit__(self, *_):
        tabs = [tab for browser in self.browsers for tab in browser.tabs.values()]
        for number, tab in enumerate(tabs):
            try:
                await tab.picture(self.folder / f"left-{number}.png")
            except Exception as error:
                print(f"no picture of tab {number}: {error!r}")
        await self.stop_browsers()
        for server in self.servers.values():
            await server.stop()

    def picture(self, name):
        return self.folder / f"{name}.png"


async def tell(story, place):
    began = time.monotonic()
    try:
        said = await asyncio.wait_for(story(place), 120)
    except Exception:
        print(f"FAILED: {story.__name__} ({time.monotonic() - began:.1f} s)\n{traceback.format_exc()}", flush=True)
        return False
    print(f"{story.__name__}: {said} ({time.monotonic() - began:.1f} s)", flush=True)
    return True


async def main(program, folder, *words):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16_000), hard))
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    place, fine = Place(program, folder), True
    try:
        async with place:
            for row in ROWS:
                chosen = [story for story in row if not words or any(word in story.__name__ for word in words)]
                fine &= all(await asyncio.gather(*(tell(story, place) for story in chosen)))
    except Exception:
        traceback.print_exc()
        fine = False
    if not fine:
        for name, server in place.servers.items():
            print(f"---- {name} said:\n{server.said()}")
        print(f"pictures are in {folder}")
    return fine


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main(*sys.argv[1:])) else 1)
