"""Talks to smoltcp_host by plain sockets, and checks every byte it gets."""
import array
import hashlib
import socket
import sys
import threading
import time

HOST, NAME = sys.argv[1], sys.argv[2]
FACTOR, MASK = 0x9E3779B97F4A7C15, (1 << 64) - 1


def content(count):
    """The bytes that the server must give."""
    words = array.array("Q", ((k * FACTOR) & MASK for k in range(-(-count // 8))))
    if sys.byteorder == "big":
        words.byteswap()
    return memoryview(words).cast("B")[:count]


def ask(request):
    """The status line and the body of the answer, up to the server's end of the connection."""
    with socket.create_connection((HOST, 80), timeout=30) as connection:
        connection.sendall(request)
        parts = []
        while part := connection.recv(1 << 20):
            parts.append(part)
    head, _, body = b"".join(parts).partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    length = next(int(line.split(": ")[1]) for line in lines if line.startswith("Content-Length"))
    assert length == len(body), f"{length} bytes announced, {len(body)} came"
    return lines[0], body


def get(path):
    return ask(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())


def same(body, expected):
    return hashlib.sha256(body).digest() == hashlib.sha256(expected).digest()


bytes_wanted = 100_000_000
expected = content(bytes_wanted)
started = time.monotonic()
status, body = get(f"/bytes/{bytes_wanted}")
took = time.monotonic() - started
assert status == "HTTP/1.1 200 OK", status
assert same(body, expected), "the bytes differ"
print(f"{NAME}: {bytes_wanted} bytes in {took:.2f} s, {bytes_wanted / took / 1e6:.0f} MB/s, equal by SHA-256")

# Several clients at once.
failures = []


def one(number):
    try:
        status, body = get(f"/bytes/{1_000_000 + number}")
        if status != "HTTP/1.1 200 OK" or not same(body, expected[: 1_000_000 + number]):
            failures.append(number)
    except Exception as error:
        failures.append(f"{number}: {error}")


threads = [threading.Thread(target=one, args=(number,)) for number in range(24)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not failures, failures

assert get("/")[0] == "HTTP/1.1 200 OK"
assert get("/bytes/0") == ("HTTP/1.1 200 OK", b"")
assert get("/nothing")[0] == "HTTP/1.1 404 Not Found"
assert get("/bytes/x")[0] == "HTTP/1.1 400 Bad Request"
assert ask(b"POST / HTTP/1.1\r\n\r\n")[0] == "HTTP/1.1 405 Method Not Allowed"
assert ask(b"\x00\xff garbage\r\n\r\n")[0] == "HTTP/1.1 400 Bad Request"
assert ask(b"GET /" + b"x" * 8_000)[0] == "HTTP/1.1 431 Request Header Fields Too Large"

# A client that hangs up in the middle does not disturb the next one.
with socket.create_connection((HOST, 80), timeout=30) as connection:
    connection.sendall(b"GET /bytes/100000000 HTTP/1.1\r\n\r\n")
    assert connection.recv(1)
assert get("/")[0] == "HTTP/1.1 200 OK"
