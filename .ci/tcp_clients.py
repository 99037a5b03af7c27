"""What an echo server owes to clients that it does not know, well-behaved and not.

Each story is a function that gets the name of a backend. It starts a server of its own, and the
server's statistics have to agree with what was done to it.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import pathlib
import random
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import stories

PROGRAMS = sys.argv[1]
BACKENDS = sys.argv[2:] or ["mio", "polling", "poll", "io-uring"]
PATIENCE = 60


class Server:
    """The example, in a process of its own."""

    def __init__(self, backend, *options, descriptors_max=16_000):
        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors_max, descriptors_max))

        self.process = subprocess.Popen(
            [f"{PROGRAMS}/tcp_echo_server", "--listen", "127.0.0.1:0", "--backend", backend, "--json", *options],
            stdout=subprocess.PIPE, text=True, preexec_fn=limit,
        )
        host, port = self.process.stdout.readline().removeprefix("listening on ").rsplit(":", 1)
        self.address = (host, int(port))

    def connect(self, receive_buffer=None):
        client = socket.socket()
        client.settimeout(PATIENCE)
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.connect(self.address)
        return client

    def status(self, field):
        """A number out of /proc, summed over the process's threads where each has its own."""
        numbers = []
        for thread in os.listdir(f"/proc/{self.process.pid}/task"):
            with open(f"/proc/{self.process.pid}/task/{thread}/status") as status:
                numbers += [int(line.split()[1]) for line in status if line.startswith(field + ":")]
        return max(numbers) if field.startswith("Vm") else sum(numbers)

    def memory_kib(self):
        return self.status("VmRSS")

    def switches(self):
        return self.status("voluntary_ctxt_switches")

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def settle(self):
        """Waits until all its threads sleep: what has come until now is dealt with."""
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < end:
            states = set()
            for stat in pathlib.Path(f"/proc/{self.process.pid}/task").glob("*/stat"):
                states.add(stat.read_text().rpartition(")")[2].split()[0])
            if states == {"S"}:
                return
            time.sleep(0.001)

    def stop(self):
        """Ctrl-C, once it has nothing to do. Gives its statistics."""
        self.settle()
        self.process.send_signal(signal.SIGINT)
        said, _ = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == 0, f"ended with {self.process.returncode}"
        stats = json.loads(said.splitlines()[-1])
        if stats["failed"] == 0 and stats["open"] == 0:
            assert stats["received_bytes"] == stats["sent_bytes"], f"bytes got lost: {stats}"
            assert stats["refused_bytes"] == stats["unsent_bytes"] == 0, f"bytes got lost: {stats}"
        return stats


@contextlib.contextmanager
def running(*arguments, **options):
    """A server that is gone afterwards, whatever happens."""
    server = Server(*arguments, **options)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()


def nonsense(seed, count):
    return random.Random(seed).randbytes(count)


def read_to_end(client):
    parts = []
    while part := client.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


def read_exactly(client, count):
    parts = []
    while count:
        part = client.recv(min(count, 1 << 16))
        assert part, f"the server ended with {count} bytes to come"
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def echo(client, data):
    """Sends and reads at the same time, since the server keeps only so much."""
    sender = threading.Thread(target=client.sendall, args=(data,))
    sender.start()
    back = read_exactly(client, len(data))
    sender.join()
    assert back == data, "came back otherwise"


def reset(client):
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def send_until_stuck(clients, part, stuck_after=0.5):
    """Sends and never reads, until nothing has been taken for a while. Gives what was sent."""
    sent = [hashlib.sha256() for _ in clients]
    counts, last = [0] * len(clients), time.monotonic()
    for client in clients:
        client.setblocking(False)
    while time.monotonic() - last < stuck_after:
        for number, client in enumerate(clients):
            with contextlib.suppress(BlockingIOError):
                taken = client.send(part)
                sent[number].update(part[:taken])
                counts[number] += taken
                last = time.monotonic()
    for client in clients:
        client.settimeout(PATIENCE)
    return counts, [digest.hexdigest() for digest in sent]


# The stories.


def half_close(backend):
    with running(backend, "--workers", "2") as server:
        data = nonsense(1, 3_000_000)
        with server.connect() as client:
            sender = threading.Thread(target=lambda: (client.sendall(data), client.shutdown(socket.SHUT_WR)))
            sender.start()
            back = read_to_end(client)
            sender.join()
        assert hashlib.sha256(back).digest() == hashlib.sha256(data).digest(), "came back otherwise"
        with server.connect() as client:
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b"", "nothing was sent, so nothing comes back"
        stats = server.stop()
        assert (stats["accepted"], stats["open"], stats["failed"]) == (2, 0, 0), stats
        return f"{len(data)} bytes back, then the end"


def half_close_with_asyncio(backend):
    async def one(server, number):
        data = nonsense(number, 200_000)
        reader, writer = await asyncio.open_connection(*server.address)

        async def send():
            writer.write(data)
            await writer.drain()
            writer.write_eof()

        _, back = await asyncio.gather(send(), reader.read(-1))
        assert back == data, "came back otherwise"
        writer.close()
        await writer.wait_closed()

    async def all_of(server):
        await asyncio.gather(*(one(server, number) for number in range(50)))

    with running(backend, "--workers", "2") as server:
        asyncio.run(all_of(server))
        stats = server.stop()
        assert (stats["accepted"], stats["open"], stats["failed"]) == (50, 0, 0), stats
        return "50 streams of 200,000 bytes"


def a_reset_disturbs_nobody(backend):
    with running(backend) as server:
        others = [server.connect() for _ in range(10)]
        for round in range(50):
            rude = server.connect()
            rude.sendall(nonsense(round, 100_000))
            reset(rude)
            for other in others:
                echo(other, nonsense(round, 1_000))
        for other in others:
            other.close()
        stats = server.stop()
        assert stats["accepted"] == 60, stats
        # A reset overtakes what was sent before it, so all that is left to be seen is the error.
        assert stats["resets"] == stats["failed"] == 50, stats
        return "50 resets, 10 others went on"


def a_slow_reader_costs_bounded_memory(backend):
    with running(backend) as server:
        echo(server.connect(), nonsense(0, 1_000_000))
        before = server.memory_kib()
        slow = [server.connect() for _ in range(20)]
        counts, sent = send_until_stuck(slow, nonsense(1, 1 << 16))
        after = server.memory_kib()
        echo(server.connect(), nonsense(2, 1_000_000))
        back = read_exactly(slow[0], counts[0])
        assert hashlib.sha256(back).hexdigest() == sent[0], "came back otherwise"
        for client in slow:
            reset(client)
        server.stop()
        # 256 KiB of queue, and as much again for the memory that holds it and is being read into.
        bound = 20 * 2 * 256 + 8_192
        assert after - before < bound, f"{before} KiB grew to {after} KiB"
        return f"{sum(counts) >> 20} MiB sent and not read by 20: {before} KiB of memory before, {after} KiB then"


def five_thousand_at_once(backend):
    count = 5_000

    async def all_of(server):
        connections = []
        for start in range(0, count, 500):
            opened = (asyncio.open_connection(*server.address) for _ in range(start, start + 500))
            connections += await asyncio.gather(*opened)

        async def talk(number, reader, writer):
            data = nonsense(number, 100)
            writer.write(data)
            assert await reader.readexactly(len(data)) == data, "came back otherwise"

        for _ in range(2):
            await asyncio.gather(*(talk(number, *pair) for number, pair in enumerate(connections)))
        memory = server.memory_kib()
        for _, writer in connections:
            writer.close()
        return memory

    with running(backend) as server:
        memory = asyncio.run(asyncio.wait_for(all_of(server), PATIENCE))
        stats = server.stop()
        assert stats["open_most"] == stats["accepted"] == count, stats
        assert stats["received_bytes"] == stats["sent_bytes"] == count * 200, stats
        return f"{count} open, each answered twice; {memory} KiB of memory"


def garbage_comes_back_as_it_is(backend):
    with running(backend) as server:
        chance = random.Random(7)
        for number in range(50):
            with server.connect() as client:
                for _ in range(chance.randrange(1, 20)):
                    echo(client, nonsense(number, chance.randrange(1, 5_000)))
        server.stop()
        return "50 connections of random bytes in random pieces"


def a_flood_of_tiny_segments(backend):
    with running(backend) as server:
        def flood(seed, results):
            with server.connect() as client:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                data = nonsense(seed, 20_000)

                def send():
                    for byte in data:
                        client.send(bytes([byte]))

                sender = threading.Thread(target=send)
                sender.start()
                results.append(read_exactly(client, len(data)) == data)
                sender.join()

        before, results = server.memory_kib(), []
        floods = [threading.Thread(target=flood, args=(seed, results)) for seed in range(5)]
        for thread in floods:
            thread.start()
        for thread in floods:
            thread.join()
        assert results == [True] * 5, results
        after = server.memory_kib()
        assert after - before < 8_192, f"{before} KiB grew to {after} KiB"
        server.stop()
        return f"5 x 20,000 writes of one byte; {before} KiB of memory before, {after} KiB after"


def tiny_segments_that_are_never_read_cost_bounded_memory(backend):
    with running(backend, "--queue", str(1 << 20)) as server:
        before = server.memory_kib()
        client = server.connect(receive_buffer=4_096)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        end = time.monotonic() + 5
        client.setblocking(False)
        # As much as fills what the system keeps for the answers, then a byte at a time.
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while sent < 2_500_000:
                sent += client.send(bytes(min(1 << 16, 2_500_000 - sent)))
        bulk = sent
        while time.monotonic() < end:
            with contextlib.suppress(BlockingIOError):
                sent += client.send(b"x")
        after = server.memory_kib()
        reset(client)
        server.stop()
        assert after - before < 8_192, f"{before} KiB grew to {after} KiB"
        return f"{sent - bulk} single bytes behind {bulk}: {before} KiB of memory before, {after} KiB then"


def ten_thousand_come_and_go(backend):
    with running(backend) as server:
        source = 2 + ["mio", "polling", "poll", "io-uring"].index(backend)
        for number in range(10_000):
            client = socket.socket()
            # Ports of connections that were closed stay taken for a minute, for each address.
            client.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
            client.bind((f"127.0.0.{source}", 0))
            client.connect(server.address)
            if number % 2:
                reset(client)
            else:
                client.close()
        with server.connect() as client:
            echo(client, b"still here")
        memory = server.memory_kib()
        stats = server.stop()
        # Those that were reset while they waited may be gone before they are taken in.
        assert 5_001 <= stats["accepted"] <= 10_001 and stats["open"] == 0, stats
        return f"{stats['accepted']} taken in; {memory} KiB of memory"


def without_descriptors_it_waits_and_goes_on(backend):
    with running(backend, descriptors_max=64) as server:
        clients = [server.connect() for _ in range(200)]
        for client in clients:
            client.sendall(b"hello")
            client.settimeout(0.01)
        served, waiting = [], []
        for client in clients:
            try:
                read_exactly(client, 5)
                served.append(client)
            except TimeoutError:
                waiting.append(client)
        assert 40 <= len(served) < 64 and waiting, f"{len(served)} were served"
        cpu = server.cpu_seconds()
        time.sleep(2)
        cpu = server.cpu_seconds() - cpu
        assert cpu <= 0.04, f"{cpu} s of CPU in 2 s in which nothing could be done"
        # Whoever leaves makes room for the next.
        while waiting:
            assert served, "nobody is served any more"
            for client in served:
                client.close()
            served = []
            for client in waiting[:40]:
                client.settimeout(PATIENCE)
                read_exactly(client, 5)
                served.append(client)
            waiting = waiting[40:]
        stats = server.stop()
        assert stats["accepted"] == 200 and stats["accepts_paused"] > 0, stats
        return f"200 clients, 64 descriptors: {stats['accepts_paused']} pauses, {cpu:.2f} s of CPU in 2 s"


def idle_connections_cost_nothing(backend):
    with running(backend, "--workers", "2") as server:
        clients = [server.connect() for _ in range(100)]
        for client in clients:
            echo(client, b"hello")
        half_closed = server.connect()
        half_closed.shutdown(socket.SHUT_WR)
        read_to_end(half_closed)
        time.sleep(0.2)
        switches, cpu = server.switches(), server.cpu_seconds()
        time.sleep(5)
        switches, cpu = server.switches() - switches, server.cpu_seconds() - cpu
        assert switches == 0 and cpu == 0, f"{switches} context switches, {cpu} s of CPU"
        server.stop()
        return "100 connections idle for 5 s: 0 context switches, 0.00 s of CPU"


def the_examples_agree(backend):
    with running(backend, "--workers", "2") as server:
        said = subprocess.run(
            [f"{PROGRAMS}/tcp_echo_client", "--connect", f"{server.address[0]}:{server.address[1]}",
             "--connections", "50", "--size", "1000", "--window", "4", "--duration", "1",
             "--backend", backend, "--json"],
            check=True, capture_output=True, text=True, timeout=PATIENCE,
        )
        client, stats = json.loads(said.stdout), server.stop()
        assert client["answered"] == client["sent"] > 1_000, client
        assert client["mismatched"] == client["broken"] == client["unexpected_bytes"] == 0, client
        assert client["sent"] * 1_000 == stats["received_bytes"] == stats["sent_bytes"], (client, stats)
        return f"{client['round_trips_per_second']:.0f} round trips a second, p50 {client['latency_us']['p50']:.0f} us"


def a_port_in_use_is_named(backend):
    with running(backend) as server:
        address = f"{server.address[0]}:{server.address[1]}"
        said = subprocess.run([f"{PROGRAMS}/tcp_echo_server", "--listen", address, "--backend", backend],
                              capture_output=True, text=True, timeout=PATIENCE)
        assert said.returncode == 1 and f"{address}: address in use" in said.stderr, said
        server.stop()
        return said.stderr.strip()


STORIES = [
    the_examples_agree,
    a_port_in_use_is_named,
    half_close,
    half_close_with_asyncio,
    a_reset_disturbs_nobody,
    a_slow_reader_costs_bounded_memory,
    five_thousand_at_once,
    garbage_comes_back_as_it_is,
    a_flood_of_tiny_segments,
    tiny_segments_that_are_never_read_cost_bounded_memory,
    ten_thousand_come_and_go,
    without_descriptors_it_waits_and_goes_on,
    idle_connections_cost_nothing,
]


stories.run(BACKENDS, STORIES)
