"""Stories of those who send what nobody should, and of viewers who go on playing meanwhile."""

import asyncio
import contextlib
import random
import socket
import struct
import time
import zlib

from sfu_peers import Peer

# The longest that a picture may stand still meanwhile: both peers and the noise share two cores with the server.
GAP_MAX_SECONDS = 2.0
# A session that never was.
NOWHERE = "/sessions/0123456789abcdef0123456789abcdef"


@contextlib.asynccontextmanager
async def somebody_plays(server, room="quiet"):
    """A publisher and a viewer, who are to notice nothing."""
    publisher, viewer = Peer(server), Peer(server)
    assert (await publisher.publish(room)).status == 201
    await publisher.connected()
    assert (await viewer.watch(room)).status == 201
    await viewer.played()
    viewer.gap_max, viewer.publisher = 0.0, publisher
    yield viewer
    await viewer.played()
    assert viewer.gap_max < GAP_MAX_SECONDS, f"the picture stood still for {viewer.gap_max:.2f} s: {viewer!r}"
    await viewer.end()
    await publisher.end()


async def bad_requests(place):
    """Each gets the answer that is due, and leaves nothing behind."""
    server = await place.start_server("requests")
    good = Peer(server)
    good.pc.addTransceiver("audio", direction="sendonly")
    await good.pc.setLocalDescription(await good.pc.createOffer())
    offer = good.pc.localDescription.sdp.encode()
    await good.close()
    files = server.files()
    cut = offer[: len(offer) // 2]
    cases = [
        (400, "POST", "/whip/a", b"garbage", {}),
        (400, "POST", "/whip/a", b"\xff\xfe\xfd" * 100, {}),
        (400, "POST", "/whip/a", b"v=0\r\n" + b"a=x\r\n" * 1000, {}),
        (422, "POST", "/whip/a", offer.replace(b"a=fingerprint", b"a=fingertip"), {}),
        (422, "POST", "/whip/a", offer.replace(b"a=ice-ufrag", b"a=ice-frag"), {}),
        (413, "POST", "/whip/a", b"v=0\r\n" + b"a=x\r\n" * 200_000, {}),
        (415, "POST", "/whip/a", offer, {"Content_Type": "application/json"}),
        (415, "POST", "/whip/a", offer, {"Content_Type": None}),
        (404, "POST", "/whip/" + "a" * 65, offer, {}),
        (404, "POST", "/whip/a%2Fb", offer, {}),
        (404, "POST", "/whip/", offer, {}),
        (404, "POST", "/whep/nobody", offer, {}),
        (404, "POST", "/nowhere", offer, {}),
        (404, "DELETE", NOWHERE, b"", {}),
        (405, "PATCH", NOWHERE, b"", {"Content_Type": "application/trickle-ice-sdpfrag"}),
        (404, "GET", "/../Cargo.toml", b"", {}),
        (404, "GET", "/rooms/nobody", b"", {}),
        (405, "GET", "/whip/a", b"", {}),
        (405, "PUT", "/whip/a", offer, {}),
        (405, "DELETE", "/rooms", b"", {}),
        (405, "POST", "/publish", b"x", {}),
        (431, "GET", "/", b"", {"X": "y" * 100_000}),
    ]
    for status, method, path, body, headers in cases:
        answer = await server.ask(method, path, body, **headers)
        told = f"{method} {path[:40]} {headers} {body[:20]}: {answer}"
        assert answer.status == status, f"{status} is due for {told}"
        if answer.status not in (413, 431):
            assert "problem+json" in answer.headers["content-type"] and answer.body, told
        if answer.status == 405:
            assert answer.headers["allow"], told
    # Cut off in the middle, an offer is refused, or taken for what is left of it; never more.
    answer = await server.ask("POST", "/whip/cut", cut)
    assert answer.status in (201, 400, 422), answer
    if answer.status == 201:
        await server.ask("DELETE", answer.headers["location"])
    answer = await server.ask("OPTIONS", "/whip/a", Origin="http://elsewhere", Access_Control_Request_Method="POST")
    assert answer.status in (200, 204) and "POST" in answer.headers["access-control-allow-methods"], answer
    for raw in (b"\x16\x03\x01\x02\x00\x01" * 20, b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 5 + b"NONSENSE\r\n\r\n"):
        answer = await server.raw(raw)
        assert answer.status in (0, 400, 505), f"{raw[:20]}: {answer}"
    # Before its publisher has answered, and afterwards: nothing is left of any.
    answer = await server.ask("GET", "/rooms")
    assert (answer.status, answer.body) == (200, b"[]"), answer
    await server.settled(server.at_first)
    await server.closes(files)
    refused, = await server.total("sfu_sessions_refused_total")
    return f"{len(cases) + 5} answers, {refused:.0f} offers refused by media ports"


def stun(chance, name=None):
    """A binding request of somebody unknown, with an integrity that is made up."""
    name = name or f"{chance.randbytes(4).hex()}:{chance.randbytes(4).hex()}".encode()
    attributes = struct.pack(">HH", 0x0006, len(name)) + name + b"\0" * (-len(name) % 4)
    attributes += struct.pack(">HH", 0x0024, 4) + chance.randbytes(4) + struct.pack(">HH", 0x0025, 0)
    attributes += struct.pack(">HH", 0x0008, 20) + chance.randbytes(20)
    message = struct.pack(">HHI", 1, len(attributes) + 8, 0x2112A442) + chance.randbytes(12) + attributes
    return message + struct.pack(">HHI", 0x8028, 4, zlib.crc32(message) ^ 0x5354554E)


def rtp(chance):
    head = struct.pack(">BBHII", 0x80, 96, chance.randrange(1 << 16), chance.randrange(1 << 32), 7)
    return head + chance.randbytes(400)


def dtls(chance):
    return b"\x16\xfe\xfd" + chance.randbytes(100)


def noise(chance):
    return chance.randbytes(chance.randrange(1, 1400))


COUNTED = ["sfu_unknown_users_total", "sfu_strangers_total", "sfu_malformed_total", "sfu_not_the_peers_total"]


async def noise_at_the_media_ports(place):
    """STUN of unknown users, RTP and DTLS of strangers, and noise: all of it is counted, and a viewer plays on."""
    server = await place.start_server("noise", media="127.0.0.1:0")
    chance = random.Random(8)
    async with somebody_plays(server) as viewer:
        before = await server.total(*COUNTED, "stillpoint_datagrams_dropped_total")
        sent, frames = 0, viewer.frames
        with contextlib.ExitStack() as opened:
            sockets = [opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(20)]
            for turn in range(200):
                for make in (stun, rtp, dtls, noise):
                    for media in server.media:
                        for _ in range(5):
                            sockets[chance.randrange(20)].sendto(make(chance), media)
                            sent += 1
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.5)
        after = await server.total(*COUNTED, "stillpoint_datagrams_dropped_total")
        counted = {name: int(b - a) for name, a, b in zip([*COUNTED, "dropped"], before, after)}
        assert sum(counted.values()) == sent, f"{sent} were sent, and {counted} counted"
        assert counted["sfu_unknown_users_total"] > sent // 5, counted
        frames = viewer.frames - frames
        assert frames > 10, f"{frames} frames meanwhile"
    await server.settled(server.at_first)
    return f"{sent} datagrams: {counted}; {frames} frames meanwhile, {viewer.gap_max:.2f} s at most between two"


def close_notify(_):
    """What ends a session, if it were believed without its signature: in the clear, and as of the running epoch."""
    return b"\x15\xfe\xfd\0\0\0\0\0\0\0\x09\0\x02\x01\0"


def sealed(chance):
    """The same in the epoch of the session, sealed with a key that is none."""
    return b"\x15\xfe\xfd\0\x01\0\0\0\0\0" + chance.randbytes(1) + b"\0\x1a" + chance.randbytes(26)


def rtcp(chance):
    """A goodbye (RTCP BYE), sealed with no key."""
    return struct.pack(">BBHI", 0x81, 203, 1, chance.randrange(1 << 32)) + chance.randbytes(14)


def as_from(source, target, payload):
    """An IPv4 packet with a datagram that says it comes from somewhere else. The kernel adds what is left at zero."""
    udp = struct.pack(">HHHH", source[1], target[1], 8 + len(payload), 0) + payload
    addresses = socket.inet_aton(source[0]) + socket.inet_aton(target[0])
    return struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + addresses + udp


async def impostors(place):
    """Somebody sends with the addresses of the publisher and the viewer, and knows the names of their sessions."""
    server = await place.start_server("impostors")
    chance = random.Random(9)
    async with somebody_plays(server) as viewer:
        before, was = await server.metrics(), await server.total(*COUNTED)
        frames, sent = viewer.frames, 0
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
            for peer in (viewer, viewer.publisher):
                host, port, server_at = peer.address()
                name = peer.names()
                for _ in range(100):
                    for make in (rtp, rtcp, dtls, close_notify, sealed, noise, lambda chance: stun(chance, name)):
                        raw.sendto(as_from((host, port), server_at, make(chance)), server_at)
                        # From elsewhere, the name alone makes no difference.
                        raw.sendto(as_from((host, 9), server_at, make(chance)), server_at)
                        sent += 2
                    await asyncio.sleep(0.01)
        await viewer.played()
        frames = viewer.frames - frames
        assert frames > 10, f"{frames} frames meanwhile"
    after = await server.metrics()
    counted = {name: int(b - a) for name, a, b in zip(COUNTED, was, await server.total(*COUNTED))}
    assert sum(counted.values()) > sent // 4, f"{sent} were sent, and only {counted} seen as what they are"
    ended = {name: after[name] - before[name] for name in after if "sessions_ended" in name and after[name]}
    assert sum(ended.values()) == 2 and not any("failed" in name for name in ended), ended
    await server.settled(server.at_first)
    return f"{sent} datagrams: {counted}; {frames} frames meanwhile, {viewer.gap_max:.2f} s at most between two"


async def slow_and_half_open_connections(place):
    """More connections than fit say nothing, and twenty never get to the point. Who has a question is answered."""
    server = await place.start_server("slow")
    async with somebody_plays(server) as viewer:
        files, frames, opened = server.files(), viewer.frames, []
        try:
            for _ in range(1100):
                opened.append(await asyncio.open_connection(*server.address))
            # Whoever has been silent for a second makes room for who comes.
            await asyncio.sleep(1.1)
            slow = [await asyncio.open_connection(*server.address) for _ in range(20)]
            opened += slow
            slowest, refused = 0.0, 0
            for letter in "GET / HTTP/1.1\r\nX-Slow: 1":
                for _, writer in slow:
                    with contextlib.suppress(ConnectionError):
                        writer.write(letter.encode())
                began = time.monotonic()
                try:
                    answer = await server.ask("GET", "/rooms")
                    refused += answer.status != 200
                except ConnectionError:
                    refused += 1
                slowest = max(slowest, time.monotonic() - began)
                await asyncio.sleep(0.1)
            idle = (await server.metrics())['http_connections_ended_total{worker="0",why="idle"}']
            assert idle >= 20, f"{idle} idle connections have made room"
        finally:
            for _, writer in opened:
                writer.close()
        assert refused == 0, f"{refused} requests were not answered"
        assert slowest < 1.0, f"an answer took {slowest:.2f} s"
        await server.closes(files)
        frames = viewer.frames - frames
        assert frames > 10, f"{frames} frames meanwhile"
    return (f"{idle:.0f} made room, answers within {slowest * 1000:.0f} ms meanwhile, {frames} frames,"
            f" {viewer.gap_max:.2f} s at most between two")
