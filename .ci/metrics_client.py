"""Scrapes a server of metrics twice, and asks it what it does not know. Argument: its address."""

import socket
import sys
import time
import urllib.error
import urllib.request
from collections import defaultdict

from prometheus_client.parser import text_string_to_metric_families

host, port = sys.argv[1].rsplit(":", 1)
page = f"http://{host}:{port}/metrics"


def scrape():
    with urllib.request.urlopen(page, timeout=10) as answer:
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        text = answer.read().decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def samples(families):
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): (sample.value, family.type)
        for family in families.values()
        for sample in family.samples
    }


first = scrape()
time.sleep(0.3)
second = scrape()
before, after = samples(first), samples(second)
assert len(after) > 100, f"{len(after)} samples"
grown = 0
for key, (value, kind) in before.items():
    if kind in ("counter", "histogram"):
        assert after[key][0] >= value, f"{key} went back: {value}, then {after[key][0]}"
        grown += after[key][0] > value
assert grown > 10, "under load, counters grow"

# A histogram is cumulative, and its last bucket holds all.
for family in second.values():
    if family.type != "histogram":
        continue
    buckets, counts = defaultdict(list), {}
    for sample in family.samples:
        labels = tuple(sorted((k, v) for k, v in sample.labels.items() if k != "le"))
        if sample.name.endswith("_bucket"):
            buckets[labels].append((float(sample.labels["le"]), sample.value))
        elif sample.name.endswith("_count"):
            counts[labels] = sample.value
    for labels, values in buckets.items():
        values = [value for _, value in sorted(values)]
        assert values == sorted(values), f"{family.name} is not cumulative"
        assert values[-1] == counts[labels], f"{family.name}: +Inf is not the count"

received = sum(s.value for s in second["stillpoint_datagrams_in"].samples)
assert received > 1000, f"{received} datagrams"


def status_of(request):
    """The status lines that a connection answers with."""
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return [line for line in answer.split(b"\n") if line.startswith(b"HTTP/1.")], answer


close = b"Host: x\r\nConnection: close\r\n\r\n"
for request, status in [
    (b"GET /nope HTTP/1.1\r\n" + close, b" 404 "),
    (b"POST /metrics HTTP/1.1\r\n" + close, b" 405 "),
    (b"GARBAGE\r\n\r\n", b" 400 "),
    (b"GET / HTTP/1.1\r\nX: " + b"y" * 10000 + b"\r\n" + close, b" 431 "),
    (b"HEAD /metrics HTTP/1.1\r\n" + close, b" 200 "),
    (b"GET /metrics HTTP/1.0\r\n\r\n", b" 200 "),
]:
    lines, _ = status_of(request)
    assert len(lines) == 1 and status in lines[0], f"{request[:30]!r}: {lines}"
lines, answer = status_of(b"POST / HTTP/1.1\r\n" + close)
assert b"Allow: GET, HEAD" in answer, answer
lines, _ = status_of(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n" + close)
assert len(lines) == 2, f"two requests, one connection: {lines}"
try:
    urllib.request.urlopen(f"http://{host}:{port}/nope", timeout=10)
    raise AssertionError("there is no such page")
except urllib.error.HTTPError as error:
    assert error.code == 404
print(f"{len(after)} samples in {len(second)} families, {grown} of them growing")
