"""A bad way to the server: it loses datagrams, is slow and narrow, and gives peers other addresses, as NATs do."""

import asyncio
import random
import time

# Peers are told to come to the relay, which has the ports of the server at an address of its own.
SERVER, RELAY = "127.0.0.2", "127.0.0.3"
# A narrow way has a queue for so long, and drops what does not fit.
QUEUE_SECONDS = 0.2


class Relay:
    """In front of each media port of a server that was started with `OPTIONS`."""

    OPTIONS = ("--public", RELAY)

    async def start(self, server, loss=0.0, delay=0.02):
        self.chance, self.loss, self.delay = random.Random(8), loss, delay
        self.passed, self.lost, self.ways = 0, 0, {}
        # Bits a second that each peer can be sent, if there is a limit.
        self.narrow = None
        loop = asyncio.get_running_loop()
        self.doors = [
            await loop.create_datagram_endpoint(lambda port=port: Door(self, port), local_addr=(RELAY, port))
            for _, port in server.media
        ]
        return self

    def carry(self, transport, data, to=None, queued=0.0):
        """Lets a datagram through, a little later, or not."""
        if self.chance.random() < self.loss or queued > QUEUE_SECONDS:
            self.lost += 1
            return
        self.passed += 1
        asyncio.get_running_loop().call_later(queued + self.delay, self._send, transport, data, to)

    @staticmethod
    def _send(transport, data, to):
        if not transport.is_closing():
            transport.sendto(data, to)

    def forget(self):
        """Each peer gets a new address, as from a NAT that was switched off and on."""
        for way in self.ways.values():
            way.transport.close()
        self.ways.clear()

    def stop(self):
        self.forget()
        for transport, _ in self.doors:
            transport.close()


class Door(asyncio.DatagramProtocol):
    """Where peers come to."""

    def __init__(self, relay, port):
        self.relay, self.port = relay, port

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, peer):
        asyncio.ensure_future(self.take(data, peer))

    async def take(self, data, peer):
        way = self.relay.ways.get((self.port, peer))
        if way is None:
            way = self.relay.ways[self.port, peer] = Way(self, peer)
            await asyncio.get_running_loop().create_datagram_endpoint(lambda: way, remote_addr=(SERVER, self.port))
        if way.transport:
            self.relay.carry(way.transport, data)


class Way(asyncio.DatagramProtocol):
    """One peer, as the server sees it."""

    def __init__(self, door, peer):
        self.door, self.peer, self.transport, self.free_at = door, peer, None, 0.0

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, _):
        relay, now = self.door.relay, time.monotonic()
        queued = max(0.0, self.free_at - now)
        if relay.narrow and queued <= QUEUE_SECONDS:
            queued += len(data) * 8 / relay.narrow
            self.free_at = now + queued
        relay.carry(self.door.transport, data, self.peer, queued)
