"""The server as a process, HTTP by hand, and peers that are no browsers (aiortc)."""

import asyncio
import fractions
import math
import os
import re
import signal
import struct
import time
from collections import defaultdict
from pathlib import Path

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError, VideoStreamTrack
from av import AudioFrame, VideoFrame

PATIENCE = 20


class Server:
    """The SFU, in a process of its own, on ports that the system chooses."""

    async def start(self, program, log, *options, workers=2, listen=("127.0.0.1", 0), media=None):
        self.log, self.killed = Path(log), False
        options += ("--media", media) if media else ()
        with self.log.open("wb") as out:
            self.process = await asyncio.create_subprocess_exec(
                program, "--listen", "{}:{}".format(*listen), "--workers", str(workers), *options,
                stdout=out, stderr=asyncio.subprocess.STDOUT, start_new_session=True,
            )
        self.media = []
        end = time.monotonic() + PATIENCE
        while not (found := re.search(r"open http://(\S+?):(\d+)/", self.said())) or len(self.media_ports()) < workers:
            assert self.process.returncode is None and time.monotonic() < end, f"it does not start: {self.said()}"
            await asyncio.sleep(0.02)
        self.address = (found[1], int(found[2]))
        self.url = f"http://{found[1]}:{found[2]}"
        self.media = self.media_ports()
        self.at_first = await self.settled()
        return self

    def said(self):
        return self.log.read_text(errors="replace")

    def media_ports(self):
        return [(host, int(port)) for host, port in re.findall(r"media at (\S+?):(\d+)", self.said())]

    async def kill(self):
        """Ends it without a word."""
        self.process.kill()
        await self.process.wait()
        self.killed = True

    async def stop(self):
        """Ctrl-C: it has to end, and well. Nothing is to be done if it was killed."""
        if self.killed:
            return
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGINT)
            try:
                await asyncio.wait_for(self.process.wait(), PATIENCE)
            except TimeoutError:
                self.process.kill()
                await self.process.wait()
        assert self.process.returncode == 0, f"it ended with {self.process.returncode}"

    def memory_kib(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1])

    def files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    async def closes(self, files):
        """Waits until no more files are open than were."""
        end = time.monotonic() + PATIENCE
        while self.files() > files:
            assert time.monotonic() < end, f"{self.files()} files are open, and {files} were"
            await asyncio.sleep(0.1)

    async def metrics(self):
        """All samples, by name and labels as they are written."""
        answer = await self.ask("GET", "/metrics")
        assert answer.status == 200, answer
        samples = {}
        for line in answer.body.decode().splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                samples[name] = float(value)
        return samples

    async def total(self, *names):
        """Sums of families over all their labels."""
        sums = defaultdict(float)
        for name, value in (await self.metrics()).items():
            sums[name.split("{")[0]] += value
        missing = [name for name in names if name not in sums]
        assert not missing, f"/metrics has no {missing}"
        return [int(sums[name]) for name in names]

    async def live(self):
        """What there is of sessions and of what belongs to them."""
        names = [f"sfu_{name}" for name in (
            "sessions", "rooms", "requests", "publishers", "viewers", "connected", "addresses", "subscriptions")]
        names += ["stillpoint_resources", "stillpoint_subscriptions", "stillpoint_requests_waiting"]
        return dict(zip(names, await self.total(*names)))

    async def settled(self, like=None):
        """What there is, once it changes no more. It has to be like it was, if that is given."""
        last, end = None, time.monotonic() + PATIENCE
        while time.monotonic() < end:
            live = await self.live()
            # What is None is of no matter.
            if live == (like or last) or like and all(live[name] == n for name, n in like.items() if n is not None):
                return live
            last = live
            await asyncio.sleep(0.2)
        raise AssertionError(f"there is {last}, and not {like}")

    async def ask(self, method, path, body=b"", token=None, **headers):
        """One request on a connection of its own."""
        lines = {"Host": "sfu", "Connection": "close"}
        if body or method == "POST":
            lines |= {"Content-Type": "application/sdp", "Content-Length": str(len(body))}
        if token:
            lines["Authorization"] = f"Bearer {token}"
        lines |= {name.replace("_", "-"): value for name, value in headers.items()}
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items() if v is not None)
        return await self.raw(head.encode() + b"\r\n" + body)

    async def raw(self, request, patience=PATIENCE):
        """What comes back until the connection ends."""
        reader, writer = await asyncio.open_connection(*self.address, limit=1 << 24)
        try:
            writer.write(request)
            try:
                await writer.drain()
                said = await asyncio.wait_for(reader.read(-1), patience)
            except ConnectionError:
                # Refused before all of it was sent: what was said can still be there.
                said = bytes(reader._buffer)
            return Answer(said)
        finally:
            writer.close()


class Answer:
    def __init__(self, said):
        head, _, self.body = said.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split()[1]) if lines[0].startswith("HTTP/1.1 ") else 0
        self.headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:])}

    def __repr__(self):
        return f"{self.status} {self.headers} {self.body[:300]}"


class Picture(VideoStreamTrack):
    """A grey that changes with each frame: who sees it can tell that it moves."""

    def __init__(self, size=(320, 240), rate=15):
        super().__init__()
        self.size, self.rate, self.count, self.began = size, rate, 0, None

    async def recv(self):
        self.began = self.began or time.monotonic()
        self.count += 1
        await asyncio.sleep(max(0, self.began + self.count / self.rate - time.monotonic()))
        frame = VideoFrame(*self.size, "yuv420p")
        for plane, value in zip(frame.planes, (40 + self.count * 8 % 160, 128, 128)):
            plane.update(bytes([value]) * plane.buffer_size)
        frame.pts, frame.time_base = self.count * 90_000 // self.rate, fractions.Fraction(1, 90_000)
        return frame


class Tone(AudioStreamTrack):
    """A tone of 440 Hz."""

    def __init__(self):
        super().__init__()
        self.count, self.began = 0, None
        # 20 ms hold no whole period, five of them do: so the tone has no seam.
        wave = [int(12_000 * math.sin(2 * math.pi * 440 * i / 48_000)) for i in range(4800)]
        self.parts = [struct.pack("<960h", *wave[at : at + 960]) for at in range(0, 4800, 960)]

    async def recv(self):
        self.began = self.began or time.monotonic()
        self.count += 1
        await asyncio.sleep(max(0, self.began + self.count * 0.02 - time.monotonic()))
        frame = AudioFrame(format="s16", layout="mono", samples=960)
        frame.planes[0].update(self.parts[self.count % 5])
        frame.pts, frame.sample_rate, frame.time_base = self.count * 960, 48_000, fractions.Fraction(1, 48_000)
        return frame


class Peer:
    """One session of an aiortc peer."""

    def __init__(self, server):
        self.server = server
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.location = None
        # Of the picture: frames, the shades that were seen, when the last came. Of the sound: frames, the loudest.
        self.frames, self.shades, self.frame_at, self.gap_max = 0, set(), None, 0.0
        self.sounds, self.loudest = 0, 0
        self.sinks = []
        self.pc.on("track", self._sink)

    async def publish(self, room, token=None, picture=True, sound=True):
        if picture:
            self.pc.addTrack(Picture())
        if sound:
            self.pc.addTrack(Tone())
        return await self._open(f"/whip/{room}", token)

    async def watch(self, room, token=None):
        self.pc.addTransceiver("video", direction="recvonly")
        self.pc.addTransceiver("audio", direction="recvonly")
        return await self._open(f"/whep/{room}", token)

    async def _open(self, path, token):
        await self.pc.setLocalDescription(await self.pc.createOffer())
        answer = await self.server.ask("POST", path, self.pc.localDescription.sdp.encode(), token)
        if answer.status == 201:
            self.location = answer.headers["location"]
            await self.pc.setRemoteDescription(RTCSessionDescription(answer.body.decode(), "answer"))
        return answer

    def address(self):
        """Where it sends from, and whom it is in touch with there."""
        connection = self.pc.getTransceivers()[0].receiver.transport.transport._connection
        (pair,) = connection._nominated.values()
        return pair.local_candidate.host, pair.local_candidate.port, pair.remote_addr

    def names(self):
        """The user name of its checks: first the server's part of it."""
        ours, theirs = (re.search(r"a=ice-ufrag:(\S+)", description.sdp)[1]
                        for description in (self.pc.localDescription, self.pc.remoteDescription))
        return f"{theirs}:{ours}".encode()

    async def until(self, what, seen, patience=PATIENCE):
        """Waits until something holds, and tells what is there if it does not."""
        end = time.monotonic() + patience
        while not seen():
            assert time.monotonic() < end, f"after {patience} s still not {what}: {self!r}"
            await asyncio.sleep(0.05)

    async def connected(self):
        await self.until("connected", lambda: self.pc.connectionState == "connected")

    async def played(self, frames=30, sounds=30):
        """Waits until it has seen a moving picture, and heard something that is not silence."""
        frames, sounds = self.frames + frames, self.sounds + sounds
        await self.until(f"{frames} frames, and {sounds} of sound", lambda: (
            self.frames >= frames and self.sounds >= sounds and len(self.shades) >= 5 and self.loudest > 1000))

    def _sink(self, track):
        self.sinks.append(asyncio.ensure_future(self._take(track)))

    async def _take(self, track):
        try:
            while True:
                frame = await track.recv()
                plane = bytes(frame.planes[0])
                if track.kind == "video":
                    now = time.monotonic()
                    self.gap_max = max(self.gap_max, now - (self.frame_at or now))
                    self.frames, self.frame_at = self.frames + 1, now
                    part = plane[::61]
                    self.shades.add(sum(part) // len(part) // 2)
                else:
                    self.sounds += 1
                    part = plane[: len(plane) // 2 * 2]
                    self.loudest = max(self.loudest, *map(abs, struct.unpack(f"<{len(part) // 2}h", part)[:200]))
        except MediaStreamError:
            pass

    async def end(self):
        """DELETE, and gone."""
        answer = None
        if self.location:
            answer = await self.server.ask("DELETE", self.location)
            self.location = None
        await self.close()
        return answer

    async def close(self):
        """Gone without a word to HTTP."""
        await self.pc.close()
        for sink in self.sinks:
            sink.cancel()

    def __repr__(self):
        return (f"{self.pc.connectionState}, {self.frames} frames in {len(self.shades)} shades,"
                f" {self.sounds} of sound, loudest {self.loudest}")
