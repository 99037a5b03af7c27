"""Stories of peers that are no browsers, and of many sessions in a row."""

import asyncio
import re
import time

from aiortc import RTCCertificate, rtcpeerconnection
from sfu_peers import Peer

WARM_UP, SESSIONS = 100, 1000
# Of these, so many at a time, and what a server may have grown by after all of them.
AT_A_TIME, GROWTH_MAX_KIB = 8, 4096


async def aiortc_plays_aiortc(place):
    """aiortc publishes, another aiortc plays: the picture moves, and the sound is no silence."""
    publisher, viewers = Peer(place.server), [Peer(place.server), Peer(place.server)]
    answer = await viewers[0].watch("independent")
    assert answer.status == 404 and b"Nobody publishes" in answer.body, answer
    await viewers[0].close()
    viewers[0] = Peer(place.server)
    answer = await publisher.publish("independent")
    assert answer.status == 201 and answer.headers["content-type"] == "application/sdp", answer
    assert answer.headers["etag"], answer
    await publisher.connected()
    for viewer in viewers:
        answer = await viewer.watch("independent")
        assert answer.status == 201, answer
    for viewer in viewers:
        await viewer.played()
    said = f"{viewers[0]!r}"
    # It ends for those who watch as well, and cannot be ended twice.
    location = publisher.location
    assert (await publisher.end()).status == 200
    assert (await place.server.ask("DELETE", location)).status == 404
    for viewer in viewers:
        await viewer.until("closed", lambda: viewer.pc.connectionState in ("closed", "failed"))
        await viewer.close()
    return said


async def chromium_and_aiortc(place):
    """Either plays what the other one publishes."""
    async def to_chromium():
        publisher = Peer(place.server)
        assert (await publisher.publish("from-aiortc")).status == 201
        tab = await place.browser.open(f"{place.server.url}/watch?room=from-aiortc")
        await tab.state("playing")
        frames = await tab.until("window.whip.stats.video?.framesDecoded > 30 && window.whip.stats.video.framesDecoded")
        await tab.until("window.whip.stats.audio?.packetsReceived > 50")
        await publisher.end()
        await tab.state("ended")
        await tab.close()
        return f"Chromium played {frames} frames"

    async def to_aiortc():
        tab = await place.browser.open(f"{place.server.url}/publish?room=from-chromium&size=360")
        await tab.click("#go")
        await tab.state("live")
        viewer = Peer(place.server)
        answer = await viewer.watch("from-chromium")
        assert answer.status == 201, answer
        await viewer.played()
        said = f"aiortc: {viewer!r}"
        await viewer.end()
        await tab.close()
        return said

    return "; ".join(await asyncio.gather(to_chromium(), to_aiortc()))


async def sound_alone_and_picture_alone(place):
    """Who publishes no picture is heard all the same, and who publishes no sound is seen."""
    publisher = Peer(place.server)
    assert (await publisher.publish("radio", picture=False)).status == 201
    tab = await place.browser.open(f"{place.server.url}/watch?room=radio")
    await tab.state("playing")
    assert "sound only" in await tab.says()
    await tab.click("#sound")
    await tab.until("window.whip.stats.audio.totalAudioEnergy > 0")
    await publisher.end()
    await tab.state("ended")
    publisher = Peer(place.server)
    assert (await publisher.publish("radio", sound=False)).status == 201
    await tab.state("playing")
    await tab.until("document.getElementById('video').currentTime > 1")
    assert await tab.run("window.whip.stats.video.framesDecoded > 0")
    await publisher.end()
    await tab.state("ended")
    await tab.close()
    return "heard, and seen"


async def a_thousand_sessions(place):
    """Sessions come and go, half of them connected. Nothing of them is left."""
    server = await place.start_server("thousand")
    # Certificates take a peer longer than all the rest.
    certificate = RTCCertificate.generateCertificate()
    rtcpeerconnection.RTCCertificate.generateCertificate = staticmethod(lambda: certificate)
    publisher = Peer(server)
    assert (await publisher.publish("many")).status == 201
    await publisher.connected()
    template = Peer(server)
    template.pc.addTransceiver("audio", direction="recvonly")
    await template.pc.setLocalDescription(await template.pc.createOffer())
    offer = template.pc.localDescription.sdp.encode()
    await template.close()
    alone = await server.settled()

    async def one(number):
        if number % 2 == 0:
            # Offered, and ended at once: a viewer, or a publisher in a room of its own.
            path = "/whep/many" if number % 4 == 0 else f"/whip/room-{number}"
            to_send = offer.replace(b"recvonly", b"sendonly")
            answer = await server.ask("POST", path, to_send if "whip" in path else offer)
            assert answer.status == 201, answer
            assert (await server.ask("DELETE", answer.headers["location"])).status == 200
            return
        peer = Peer(server)
        peer.pc.addTransceiver("audio", direction="recvonly")
        answer = await peer._open("/whep/many", None)
        assert answer.status == 201, answer
        await peer.connected()
        if number % 4 == 1:
            await peer.end()
        else:
            await peer.close()  # Without a word to HTTP: DTLS says it.

    async def row(count):
        numbers = iter(range(count))

        async def some():
            for number in numbers:
                await one(number)
        await asyncio.gather(*(some() for _ in range(AT_A_TIME)))

    await row(WARM_UP)
    await server.settled(alone)
    memory, files, began = server.memory_kib(), server.files(), time.monotonic()
    await row(SESSIONS)
    took = time.monotonic() - began
    await server.settled(alone)
    grown = server.memory_kib() - memory
    assert grown < GROWTH_MAX_KIB, f"memory has grown by {grown} KiB from {memory} KiB"
    await server.closes(files)
    await publisher.end()
    await server.settled(server.at_first)
    return f"{SESSIONS / took:.0f} sessions a second, memory {grown:+} KiB of {memory} KiB"


async def nothing_is_left(place):
    """All who came to the server that stories share have gone; so have browsers, who keep connections for later."""
    await place.stop_browsers()
    await place.server.settled(place.server.at_first)
    answer = await place.server.ask("GET", "/rooms")
    assert answer.body == b"[]", answer
    metrics = await place.server.metrics()
    ended = {re.search('how="(.*?)"', name)[1]: int(n) for name, n in metrics.items() if "sessions_ended" in name}
    assert ended["failed"] == ended["silent"] == ended["never_connected"] == 0, ended
    return f"ended: {ended}"
