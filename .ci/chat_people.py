"""What a chat owes to people that it does not know, well-behaved and not.

Each story is a function that gets the name of a backend. It starts a chat of its own, with two
workers, and the chat's statistics have to agree with what was done to it.
"""

import contextlib
import json
import pathlib
import selectors
import shutil
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


class Chat:
    """The example, in a process of its own."""

    def __init__(self, backend, *options, workers=2):
        self.process = subprocess.Popen(
            [f"{PROGRAMS}/chat", "--listen", "127.0.0.1:0", "--backend", backend,
             "--workers", str(workers), "--json", *options],
            stdout=subprocess.PIPE, text=True,
        )
        for _ in range(workers):
            host, port = self.process.stdout.readline().removeprefix("listening on ").rsplit(":", 1)
        self.address = (host, int(port))

    def memory_kib(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))

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
        return json.loads(said.splitlines()[-1])


@contextlib.contextmanager
def running(*arguments, **options):
    """A chat that is gone afterwards, whatever happens."""
    chat = Chat(*arguments, **options)
    try:
        yield chat
    finally:
        if chat.process.poll() is None:
            chat.process.kill()
            chat.process.wait()


class Person:
    """Somebody with a socket, who was welcomed."""

    def __init__(self, chat, name=None, room=None, receive_buffer=None):
        self.socket = socket.socket()
        self.socket.settimeout(PATIENCE)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(chat.address)
        self.unread = b""
        welcome = self.hear()
        assert welcome.startswith("* welcome, guest-"), welcome
        self.worker = int(welcome.split("-")[1])
        if name:
            self.say(f"/nick {name}")
            assert self.hear() == f"* you are {name}"
        if room:
            self.say(f"/join {room}")
            # Who leaves or joins meanwhile may be heard of before.
            self.hear_until(f"* you are in {room}")

    def say(self, line):
        self.socket.sendall(line.encode() + b"\n")

    def hear(self):
        """The next line; None if there is none because the chat has ended the connection."""
        while b"\n" not in self.unread:
            part = self.socket.recv(1 << 16)
            if not part:
                assert not self.unread, self.unread
                return None
            self.unread += part
        line, self.unread = self.unread.split(b"\n", 1)
        return line.decode(errors="replace")

    def hear_until(self, end):
        """All lines up to one that ends so."""
        lines = []
        while not lines or not lines[-1].endswith(end):
            line = self.hear()
            assert line is not None, lines
            lines.append(line)
        return lines

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self):
        self.socket.close()


def two_at_different_workers(chat, room):
    """Two in one room, each at a worker of its own, and how many it took to find them."""
    first = Person(chat, "Ada", room)
    others = []
    while len(others) < 100:
        second = Person(chat, "Bob")
        if second.worker != first.worker:
            second.say(f"/join {room}")
            assert second.hear() == f"* you are in {room}"
            assert first.hear() == "* Bob joined"
            return first, second, others
        others.append(second)
    raise AssertionError("100 connections, all at one worker")


def people_at_different_workers_hear_each_other(backend):
    with running(backend) as chat:
        ada, bob, others = two_at_different_workers(chat, "tea")
        ada.say("hello \u00e9")
        assert bob.hear() == "Ada: hello \u00e9"
        bob.socket.sendall(b"hi\r\nhow ar")
        bob.socket.sendall(b"e you\xff\n")
        assert [ada.hear(), ada.hear()] == ["Bob: hi", "Bob: how are you\ufffd"]
        ada.say("/who")
        here = {ada.hear(), ada.hear()}
        assert here == {"* here: Ada", "* here: Bob"}, here
        bob.say("/quit")
        assert bob.hear_until("bye") and bob.hear() is None
        bob.close()
        assert ada.hear() == "* Bob left"
        ada.say("/echo")
        ada.say("alone")
        assert [ada.hear(), ada.hear()] == ["* what you say comes back", "Ada: alone"]
        stats = chat.stop()
        assert ada.hear() == "* the chat closes: bye" and ada.hear() is None
        assert stats["said"] == 4 and stats["heard"] == 4, stats
        assert stats["open"] == 1 + len(others) and min(stats["welcomed_by_worker"]) >= 1, stats
        return f"{stats['welcomed_by_worker']} people by worker; {stats['said']} lines, each heard once"


def netcat_does(backend):
    """Two `nc` with their input at a pipe, as in a terminal."""
    command = shutil.which("nc") or shutil.which("ncat") or shutil.which("netcat")
    if not command:
        return "skipped: there is no nc here"
    with running(backend) as chat:
        def person():
            return subprocess.Popen([command, chat.address[0], str(chat.address[1])],
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        ada, bob = person(), person()
        for process, name in [(ada, "Ada"), (bob, "Bob")]:
            assert process.stdout.readline().startswith("* welcome")
            process.stdin.write(f"/nick {name}\n/join tea\n")
            assert process.stdout.readline() == f"* you are {name}\n"
            assert process.stdout.readline() == "* you are in tea\n"
        assert ada.stdout.readline() == "* Bob joined\n"
        ada.stdin.write("hello\n")
        assert bob.stdout.readline() == "Ada: hello\n"
        bob.stdin.write("hello yourself\n/quit\n")
        assert ada.stdout.readline() == "Bob: hello yourself\n"
        assert ada.stdout.readline() == "* Bob left\n"
        stats = chat.stop()
        assert ada.stdout.readline() == "* the chat closes: bye\n"
        for process in (ada, bob):
            process.stdin.close()
            process.kill()
            process.wait()
        assert (stats["said"], stats["heard"]) == (2, 2), stats
        return "two talked and one said /quit"


def who_is_too_fast_is_told_once(backend):
    with running(backend) as chat:
        ada, bob, _ = two_at_different_workers(chat, "tea")
        time.sleep(2.2)  # Until the bucket is full again.
        ada.socket.sendall(b"".join(b"%d of 100\n" % number for number in range(100)))
        ada.say("/quit")  # One too many as well.
        assert ada.hear() == "* too fast: lines are not said until you pause"
        time.sleep(1)
        ada.say("the end")
        heard = bob.hear_until("the end")
        assert 11 <= len(heard) <= 14, heard
        assert heard[:10] == [f"Ada: {number} of 100" for number in range(10)], heard
        stats = chat.stop()
        assert stats["too_fast"] == 102 - len(heard), (stats, heard)
        return f"{len(heard)} of 102 lines were said, {stats['too_fast']} were too fast"


def lines_have_an_end(backend):
    with running(backend) as chat:
        ada, bob, _ = two_at_different_workers(chat, "tea")
        ada.say("x" * 1_024)
        ada.say("y" * 1_025)
        assert ada.hear() == "* too long, not said: lines have up to 1024 bytes"
        before = chat.memory_kib()
        for _ in range(200):
            ada.socket.sendall(b"z" * 100_000)
        ada.say("")
        ada.say("done")
        assert [bob.hear(), bob.hear()] == ["Ada: " + "x" * 1_024, "Ada: done"]
        grown = chat.memory_kib() - before
        assert grown < 4_000, f"20 MB without a newline, and {grown} KiB more memory"
        stats = chat.stop()
        assert stats["too_long"] == 2 and stats["received_bytes"] > 20_000_000, stats
        return f"20 MB without a newline: {grown} KiB more memory"


def drain(people, until):
    """Reads what comes for these people, and forgets it."""
    with selectors.DefaultSelector() as selector:
        for person in people:
            selector.register(person.socket, selectors.EVENT_READ)
        while not until.is_set():
            for key, _ in selector.select(0.1):
                key.fileobj.recv(1 << 16)


def a_slow_reader_is_told_what_it_missed(backend):
    with running(backend) as chat:
        bob = Person(chat, "Bob", "tea", receive_buffer=4_096)
        talkers = [Person(chat, f"t{number}", "tea") for number in range(60)]
        until = threading.Event()
        drainer = threading.Thread(target=drain, args=(talkers, until))
        drainer.start()
        said, line = 0, "x" * 1_000
        # The system's buffers take some megabytes before anything is missed.
        for _ in range(80):
            for talker in talkers:
                talker.say(line)
                said += 1
            time.sleep(0.2)
        missed, heard = 0, 0
        bob.socket.settimeout(2)
        with contextlib.suppress(TimeoutError):
            while (heard_line := bob.hear()) is not None:
                if heard_line.startswith("* you missed "):
                    missed += int(heard_line.split()[3])
                elif not heard_line.startswith("* "):
                    heard += 1
        until.set()
        drainer.join()
        stats = chat.stop()
        assert missed == stats["missed"] > 0 and stats["untold"] == 0, (missed, stats)
        assert heard + missed == stats["said"] == said - stats["too_fast"], (heard, missed, stats)
        assert stats["heard"] == 59 * stats["said"] + heard, (heard, stats)
        return f"{stats['said']} lines to 60 people: the slow one heard {heard} and missed {missed}; the others all"


def five_hundred_come_talk_and_vanish(backend):
    with running(backend) as chat:
        people = [Person(chat) for _ in range(500)]
        assert len({person.worker for person in people}) == 2
        for number, person in enumerate(people):
            person.say(f"/join room-{number % 50}")
        for person in people:
            person.hear_until(f"* you are in room-{people.index(person) % 50}")
        # All have joined; whoever came later was announced.
        for number, person in enumerate(people):
            person.say(f"I am {number}")
        for number, person in enumerate(people):
            others = {other for other in range(number % 50, 500, 50) if other != number}
            while others:
                line = person.hear()
                if not line.startswith("* "):
                    others.remove(int(line.rsplit(" ", 1)[1]))
        memory = chat.memory_kib()
        for number, person in enumerate(people):
            person.reset() if number % 2 else person.close()
        # They are gone when the last room is empty again.
        with contextlib.closing(Person(chat, "Ada", "room-0")) as ada:
            end = time.monotonic() + PATIENCE
            while time.monotonic() < end:
                ada.say("/who")
                here = [ada.hear_until(" Ada")[-1]]
                if here == ["* here: Ada"]:
                    break
                time.sleep(0.3)
            again = [Person(chat) for _ in range(500)]
            grown = chat.memory_kib() - memory
            for person in again:
                person.close()
        assert memory < 40_000 and grown < 4_000, f"{memory} KiB, and {grown} more"
        stats = chat.stop()
        assert (stats["said"], stats["heard"], stats["missed"]) == (500, 500 * 9, 0), stats
        assert stats["welcomed"] == 1_001 and stats["resets"] >= 200, stats
        return f"4,500 lines heard; {memory} KiB for 500 people, {grown} KiB more for the next 500"


def who_finds_no_place_is_told_so(backend):
    with running(backend, "--people", "3", workers=1) as chat:
        people = [Person(chat) for _ in range(3)]
        late = socket.create_connection(chat.address)
        late.settimeout(PATIENCE)
        said = b""
        while part := late.recv(1_000):
            said += part
        assert said == b"* too many people are here; come back later\n", said
        people.pop().close()
        chat.settle()
        Person(chat).close()
        stats = chat.stop()
        assert (stats["welcomed"], stats["turned_away"], stats["open_most"]) == (4, 1, 3), stats
        return "the fourth of three was turned away, and let in later"


def the_silent_have_to_leave(backend):
    with running(backend, "--silence", "1") as chat:
        person = Person(chat)
        began = time.monotonic()
        assert person.hear() == "* you said nothing for too long: bye" and person.hear() is None
        waited = time.monotonic() - began
        stats = chat.stop()
        assert stats["silent"] == 1 and waited > 0.9, (stats, waited)
        return f"after {waited:.2f} s"


STORIES = [
    people_at_different_workers_hear_each_other,
    netcat_does,
    who_is_too_fast_is_told_once,
    lines_have_an_end,
    a_slow_reader_is_told_what_it_missed,
    five_hundred_come_talk_and_vanish,
    who_finds_no_place_is_told_so,
    the_silent_have_to_leave,
]


stories.run(BACKENDS, STORIES)
