"""Looks at pictures of runs: what a browser has made of the page, and whether the rest can be read."""

import html
import json
import re
import struct
import sys
import zlib
from pathlib import Path


def pixels(png):
    """The colours of a PNG of 8 bits a channel, with how many pixels have them."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n", "no PNG"
    at, packed = 8, b""
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        body = png[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", body[:10])
        elif kind == b"IDAT":
            packed += body
        at += 12 + length
    assert depth == 8 and colour in (2, 6), "no RGB"
    step = 3 if colour == 2 else 4
    raw, stride = zlib.decompress(packed), width * step
    before, seen = bytearray(stride), {}
    for row in range(height):
        start = row * (stride + 1)
        how, line = raw[start], bytearray(raw[start + 1 : start + 1 + stride])
        for i in range(stride):
            left = line[i - step] if i >= step else 0
            up, corner = before[i], before[i - step] if i >= step else 0
            if how == 1:
                line[i] = (line[i] + left) & 255
            elif how == 2:
                line[i] = (line[i] + up) & 255
            elif how == 3:
                line[i] = (line[i] + (left + up) // 2) & 255
            elif how == 4:
                guess = left + up - corner
                near = min((abs(guess - left), 0, left), (abs(guess - up), 1, up), (abs(guess - corner), 2, corner))
                line[i] = (line[i] + near[2]) & 255
        for i in range(0, stride, step):
            colour = bytes(line[i : i + 3])
            seen[colour] = seen.get(colour, 0) + 1
        before = line
    return seen


def count_packets(path):
    """Packets of a capture, and whether its last block is whole."""
    capture, at, packets = Path(path).read_bytes(), 0, 0
    while at + 12 <= len(capture):
        kind, length = struct.unpack("<II", capture[at : at + 8])
        packets += kind == 6
        at += length
    return packets, int(at == len(capture))


def look(folder, fails):
    dom = (folder / "dom.html").read_text()
    probe = re.search(r'<output id="probe">(.*?)</output>', dom)
    assert probe, "the page has not run to its end"
    probe = json.loads(html.unescape(probe[1]))
    near, whole = probe["near"], probe["whole"]
    assert whole["line"] > 100, f"no lanes: {probe}"
    assert whole["travel"] > 100 and near["travel"] > 50, f"no arrows: {probe}"
    assert whole["loss"] > 0, f"nothing lost: {probe}"
    assert probe["events"] > (100_000 if not fails else 100), probe
    if fails:
        assert near["input"] > 50 and near["timer"] > 10, f"no marks: {probe}"
        shown = re.search(r'<pre id="failure"[^>]*>(.*?)</pre>', dom, re.S)
        assert "<nothing> is counted twice" in html.unescape(shown[1]), "the failure is not shown"
        # The event after which it failed is the one that is chosen, and it is told of.
        data = json.loads(dom.split('id="data">', 1)[1].split("</script>", 1)[0])
        failed = data["failure"]
        assert probe["chosen"] == failed["index"], probe
        assert f'event {failed["index"]} of {probe["events"]}' in dom, "the failing event is not told of"
        assert "state of Server" in dom, "no state is shown"
        # Keys: to the cause, to what comes of it, to the event before, and on.
        cause, effect, before, on = probe["steps"]
        assert cause == failed["index"] - data["cause"][failed["index"]], probe
        assert effect - data["cause"][effect] == cause, probe
        assert (before, on) == (effect - 1, effect), probe
        # Search, and the next that was found.
        timeouts = data["kind"].count(data["kinds"].index("Timeout"))
        assert probe["found"] == f"{timeouts} found" and probe["foundKind"] == "Timeout", probe
    seen = pixels((folder / "shot.png").read_bytes())
    most = max(seen.values())
    assert len(seen) > 20 and most < 0.97 * sum(seen.values()), "the screenshot is empty"
    json.loads((folder / "perfetto.json").read_text())
    print(
        f'{probe["events"]} events: loaded in {probe["loadMs"]:.0f} ms, drawn in {probe["closeMs"]:.1f} ms near the'
        f' failure, {probe["eachMs"]:.1f} ms one by one, {probe["farMs"]:.1f} ms as a whole'
    )


if __name__ == "__main__":
    if sys.argv[1] == "--count":
        print(*count_packets(sys.argv[2]))
    else:
        look(Path(sys.argv[1]), True)
        look(Path(sys.argv[2]), False)
