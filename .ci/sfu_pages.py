"""Stories of people who use the pages in a browser."""

import asyncio
import io
import time

import av
from sfu_relay import SERVER, Relay


def pixels(png):
    """The pixels of a PNG, as bytes of red, green and blue."""
    with av.open(io.BytesIO(png), format="png_pipe") as opened:
        frame = next(opened.decode(video=0)).reformat(format="rgb24")
    plane, width = frame.planes[0], frame.width * 3
    raw = bytes(plane)
    return b"".join(raw[row * plane.line_size :][:width] for row in range(frame.height))


def changed(before, after):
    """The share of pixels that differ clearly."""
    assert len(before) == len(after), "the pictures have the same size"
    greens = zip(before[1::3], after[1::3])
    return sum(abs(a - b) > 40 for a, b in greens) / (len(before) // 3)


async def heard_and_seen(tab, seconds=2.0):
    """What a viewer's page has decoded in some seconds, and what was lost or made up in them."""
    before = await tab.until("window.whip.stats.video && window.whip.stats.audio && window.whip.stats")
    await asyncio.sleep(seconds)
    after = await tab.until(f"window.whip.stats.video?.framesDecoded >= {before['video']['framesDecoded'] + 10}"
                            " && window.whip.stats")
    video, audio = ({key: after[kind][key] - before[kind].get(key, 0) for key, value in after[kind].items()
                     if isinstance(value, (int, float))} for kind in ("video", "audio"))
    assert audio["totalSamplesReceived"] > 20_000 and audio["packetsReceived"] > 20, f"no sound: {after['audio']}"
    made_up = audio["concealedSamples"] / audio["totalSamplesReceived"]
    assert made_up < 0.5, f"{made_up:.0%} of the sound is made up: {after['audio']}"
    return video, audio, made_up


async def moving(place, tab, name):
    """How much of the middle of the picture has changed between two screenshots."""
    first = await tab.picture(place.picture(f"{name}-first"), "#video")
    for _ in range(5):
        await asyncio.sleep(0.5)
        second = await tab.picture(place.picture(f"{name}-second"), "#video")
        moved = changed(pixels(first), pixels(second))
        # The camera's picture turns, and may just have come round.
        if moved > 0.005:
            return moved
    raise AssertionError(f"the picture stands still: {moved:.2%} of it differs")


async def no_complaints(*tabs):
    for tab in tabs:
        assert not tab.complaints, f"the page complains: {tab.complaints}"


async def published_and_watched(place):
    """Somebody opens the first page, names a room, and goes live; two others watch, in all three by hand."""
    browser, server = await place.start_browser(), await place.start_server("garden")
    publisher = await browser.open(server.url)
    await publisher.until("document.getElementById('rooms-note').textContent.startsWith('Nobody')")
    await publisher.picture(place.picture("first-page"))
    publisher.loaded.clear()
    await publisher.type("#room", "garden")
    await publisher.click("button[formaction='/publish']")
    await asyncio.wait_for(publisher.loaded.wait(), 20)
    await publisher.state("idle")
    await publisher.click("#go")
    assert await publisher.state("live", "refused") == "live", await publisher.says()
    link = await publisher.run("document.getElementById('link').value")
    viewers = [await browser.open(link), await browser.open(link, width=390, height=844, scale=2, dark=True)]
    seen = []
    for number, viewer in enumerate(viewers):
        await viewer.state("playing")
        await viewer.click("#sound")
        await viewer.until("window.whip.stats.audio?.totalAudioEnergy > 0")
        video, audio, made_up = await heard_and_seen(viewer)
        seen.append(f'{video["framesDecoded"]} frames, {made_up:.1%} of the sound made up')
        name = f"watch-{number}"
        moved = await moving(place, viewer, name)
        seen.append(f"{moved:.0%} of the picture moved")
        await viewer.picture(place.picture(f"{name}-page"), whole=True)
    # One of both is at another worker than the publisher, so its media has crossed the bus.
    metrics = await server.metrics()
    came, went = ([metrics[f'sfu_frames_{way}_total{{worker="{worker}"}}'] for worker in (0, 1)]
                  for way in ("in", "out"))
    assert min(came) == 0 and max(came) > 50 and min(went) > 50, f"by worker, {came} frames came in and {went} went out"
    await publisher.until("window.whip.viewers === 2")
    await publisher.picture(place.picture("publish-page"), whole=True)
    first_page = await browser.open(server.url)
    assert await first_page.until("document.querySelector('#rooms a')?.textContent") == "garden2 viewers"
    await no_complaints(publisher, *viewers, first_page)
    await publisher.click("#go")
    for viewer in viewers:
        await viewer.state("ended")
    for tab in (publisher, *viewers, first_page):
        await tab.close()
    return "; ".join(seen)


async def the_publisher_goes_and_comes_back(place):
    """Viewers are told at once when the publisher stops, or closes the tab, and go on when somebody publishes again."""
    browser, server = place.browser, place.server
    viewer = await browser.open(f"{server.url}/watch?room=door")
    await viewer.state("waiting")
    assert "Nobody publishes here yet" in await viewer.says()
    publisher = await browser.open(f"{server.url}/publish?room=door&size=360")
    await publisher.click("#go")
    await publisher.state("live")
    await viewer.state("playing")
    other = await browser.open(f"{server.url}/publish?room=door&size=360")
    await other.click("#go")
    await other.state("refused")
    assert "publishes in the room door already" in await other.says(), await other.says()
    # The first one is not disturbed by that, and stops by itself.
    assert await publisher.run("window.whip.state") == "live"
    await publisher.click("#go")
    await viewer.state("ended", patience=4)
    assert "has ended" in await viewer.says()
    await other.click("#go")
    await other.state("live")
    await viewer.state("playing")
    await heard_and_seen(viewer, 1.0)
    await no_complaints(publisher, other, viewer)
    # A tab that is closed says goodbye as well.
    await other.close()
    await viewer.state("ended", patience=4)
    await publisher.click("#go")
    await publisher.state("live")
    await viewer.state("playing")
    await heard_and_seen(viewer, 1.0)
    # So does a viewer's.
    await publisher.until("window.whip.viewers === 1")
    await viewer.close()
    await publisher.until("window.whip.viewers === 0")
    await publisher.click("#go")
    await publisher.close()
    return "told twice, played three times"


async def another_device_on_the_air(place):
    """While live, a publisher shows the screen instead of the camera, mutes the microphone, and takes both back."""
    browser, server = place.browser, place.server
    publisher = await browser.open(f"{server.url}/publish?room=devices&size=360&simulcast=0")
    await publisher.click("#go")
    await publisher.state("live")
    viewer = await browser.open(f"{server.url}/watch?room=devices")
    await viewer.state("playing")
    await viewer.click("#sound")
    await viewer.until("window.whip.stats.audio?.totalAudioEnergy > 0")
    camera = await viewer.until("window.whip.stats.video?.frameWidth")
    choose = """((list, to) => {{ list.value = [...list.options].find({1}).value;
        list.dispatchEvent(new Event('change')); }})(document.getElementById('{0}'))"""
    await publisher.run(choose.format("camera", "option => option.value === 'screen'"))
    screen = await viewer.until(f"(width => width !== {camera} && width)(window.whip.stats.video.frameWidth)")
    await publisher.run(choose.format("microphone", "option => option.value === ''"))
    # Nothing more is to be heard, and the picture goes on.
    await viewer.until("window.whip.stats.audio.bitrate < 5000")
    frames = await viewer.run("window.whip.stats.video.framesDecoded")
    await viewer.until(f"window.whip.stats.video.framesDecoded > {frames}")
    await publisher.run(choose.format("camera", "option => option.value && option.value !== 'screen'"))
    await publisher.run(choose.format("microphone", "option => option.value"))
    await viewer.until(f"window.whip.stats.video.frameWidth === {camera}")
    await viewer.until("window.whip.stats.audio.bitrate > 5000")
    assert await viewer.run("window.whip.state") == "playing"
    await no_complaints(publisher, viewer)
    await viewer.close()
    await publisher.close()
    return f"{camera} pixels wide, then {screen}, then {camera}"


async def the_server_comes_back(place):
    """The server dies without a word. Both pages say so, and go on by themselves when it is back."""
    server = await place.start_server("dies")
    publisher = await place.browser.open(f"{server.url}/publish?room=phoenix&size=360")
    await publisher.click("#go")
    await publisher.state("live")
    viewer = await place.browser.open(f"{server.url}/watch?room=phoenix")
    await viewer.state("playing")
    await server.kill()
    await asyncio.gather(publisher.state("lost"), viewer.state("lost"))
    await publisher.until("document.getElementById('state').textContent.includes('does not answer')")
    again = await place.start_server("is-back", listen=server.address)
    assert again.address == server.address
    await publisher.state("live")
    await viewer.state("playing")
    await heard_and_seen(viewer, 1.0)
    await no_complaints(publisher, viewer)
    await publisher.click("#go")
    await viewer.state("ended")
    await viewer.close()
    await publisher.close()
    return "told, and went on"


async def a_network_that_is_no_good(place):
    """Some of all datagrams are lost, on both ways; then each peer has another address from one moment to the next."""
    server = await place.start_server("relayed", *Relay.OPTIONS, media=f"{SERVER}:0")
    relay = await Relay().start(server, loss=0.05)
    publisher = await place.browser.open(f"{server.url}/publish?room=far&size=360&simulcast=0")
    await publisher.click("#go")
    await publisher.state("live")
    viewer = await place.browser.open(f"{server.url}/watch?room=far")
    await viewer.state("playing")
    video, audio, _ = await heard_and_seen(viewer, 4.0)
    # What is lost is asked for and sent again.
    assert video["nackCount"] > 0 and relay.lost > 20, f"{relay.lost} were lost: {video}"
    assert video["framesDecoded"] > 40, f"{video['framesDecoded']} frames in 4 s: {video}"
    sent = await publisher.until("(layer => layer.retransmittedPacketsSent > 0 && layer)(window.whip.stats.layers[0])")
    lost, relay.loss = relay.lost, 0.0
    strangers, = await server.total("sfu_strangers_total")
    relay.forget()
    moved = time.monotonic()
    frames = await viewer.run("window.whip.stats.video.framesDecoded")
    await viewer.until(f"window.whip.stats.video.framesDecoded > {frames + 60}")
    moved = time.monotonic() - moved
    assert await viewer.run("window.whip.state") == "playing" and await publisher.run("window.whip.state") == "live"
    assert (await server.total("sfu_strangers_total"))[0] > strangers, "nobody came from a new address"
    await no_complaints(publisher, viewer)
    await viewer.close()
    await publisher.close()
    await server.settled(server.at_first | {"stillpoint_resources": None})
    relay.stop()
    return (f'{lost} of {relay.passed} lost, {sent["retransmittedPacketsSent"]} sent again,'
            f' {video["framesDecoded"]} frames in 4 s, and 60 more within {moved:.1f} s once all had moved')


async def simulcast(place):
    """A publisher sends three sizes, and a viewer gets one of them."""
    browser, server = await place.start_browser(), place.server
    publisher = await browser.open(f"{server.url}/publish?room=sizes&size=720")
    await publisher.click("#go")
    await publisher.state("live")
    sent = "window.whip.stats.layers?.filter(layer => layer.framesSent > 10).map(layer => layer.frameHeight)"
    heights = await publisher.until(f"(sent => sent?.length === 3 && sent)({sent})")
    viewer = await browser.open(f"{server.url}/watch?room=sizes")
    await viewer.state("playing")
    video, *_ = await heard_and_seen(viewer)
    height = await viewer.run("window.whip.stats.video.frameHeight")
    heights = await publisher.run(sent)
    assert height in heights, f"{height} lines are none of {heights}"
    await publisher.picture(place.picture("simulcast"), whole=True)
    await no_complaints(publisher, viewer)
    await viewer.close()
    await publisher.close()
    return f'sent with {heights} lines, seen with {height}, {video["framesDecoded"]} frames'


async def sizes_follow_the_network(place):
    """A viewer whose network becomes narrow gets a smaller picture, and the large one when it is wide again."""
    browser = await place.start_browser()
    server = await place.start_server("narrow", *Relay.OPTIONS, media=f"{SERVER}:0")
    relay = await Relay().start(server)
    publisher = await browser.open(f"{server.url}/publish?room=narrow&size=720")
    await publisher.click("#go")
    await publisher.state("live")
    viewer = await browser.open(f"{server.url}/watch?room=narrow")
    height = "window.whip.stats.video?.frameHeight"
    seen = []
    for narrow, wanted in ((None, "=== 720"), (350_000, "< 720"), (None, "=== 720")):
        relay.narrow, began = narrow, time.monotonic()
        lines = await viewer.until(f"(lines => lines {wanted} && lines)({height})", patience=40)
        seen.append(f"{lines} lines after {time.monotonic() - began:.0f} s")
        frames = await viewer.run("window.whip.stats.video.framesDecoded")
        await viewer.until(f"window.whip.stats.video.framesDecoded > {frames + 40}")
    await no_complaints(publisher, viewer)
    await viewer.close()
    await publisher.close()
    relay.stop()
    return ", ".join(seen)


async def other_codecs(place):
    """H.264 and VP9, where this Chromium can send them."""
    async def play(codec):
        publisher = await place.browser.open(f"{place.server.url}/publish?room={codec}&codec={codec}&size=360")
        await publisher.until("document.getElementById('camera').options.length > 1")
        if not await publisher.run(f"[...document.getElementById('codec').options].some(o => o.value === '{codec}')"):
            await publisher.close()
            return f"{codec}: this browser has no encoder"
        await publisher.click("#go")
        assert await publisher.state("live", "refused") == "live", f"{codec}: {await publisher.says()}"
        viewer = await place.browser.open(f"{place.server.url}/watch?room={codec}")
        await viewer.state("playing")
        video, *_ = await heard_and_seen(viewer)
        codecs = await viewer.run("window.whip.stats.codecs")
        assert codecs == [codec, "opus"], f"{codec}: played {codecs}"
        await no_complaints(publisher, viewer)
        await viewer.close()
        await publisher.close()
        return f'{codec}: {video["framesDecoded"]} frames'
    return ", ".join(await asyncio.gather(play("H264"), play("VP9")))


async def no_camera_at_first(place):
    """Who may not use the camera is told why, and can allow it; so is who comes in a way that browsers do not trust."""
    browser = await place.start_browser(without=["--use-fake-ui-for-media-stream"])

    async def answer(setting):
        for name in ("camera", "microphone"):
            permission = {"permission": {"name": name}, "setting": setting, "origin": place.server.url}
            await browser.ask("Browser.setPermission", **permission)

    await answer("denied")
    tab = await browser.open(f"{place.server.url}/publish?room=shy&size=360")
    await tab.state("refused")
    assert "Allow it" in await tab.says(), await tab.says()
    assert await tab.run("document.getElementById('go').disabled")
    await tab.picture(place.picture("not-allowed"), whole=True)
    await answer("granted")
    await tab.click("#again")
    await tab.state("idle")
    await tab.click("#go")
    await tab.state("live")
    await tab.close()
    server = await place.start_server("untrusted", listen=("198.51.100.1", 0))
    tab = await browser.open(f"{server.url}/publish?room=shy")
    await tab.state("refused")
    assert "HTTPS" in await tab.says(), await tab.says()
    await no_complaints(tab)
    # A room that is none leads back to the first page.
    await tab.go(f"{server.url}/publish?room=no/room")
    await tab.until("location.pathname === '/' && document.getElementById('enter')")
    await tab.close()
    return "told, and allowed"


async def tokens(place):
    """Who has no token is told so, may type it, and is let in."""
    server = await place.start_server("tokens", "--publish-token", "let-me-in", "--watch-token", "let-me-see")
    publisher = await place.browser.open(f"{server.url}/publish?room=closed&size=360#token=wrong")
    await publisher.click("#go")
    await publisher.state("refused")
    assert "token" in await publisher.says(), await publisher.says()
    await publisher.type("#token", "let-me-in")
    await publisher.click("#go")
    assert await publisher.state("live", "refused") == "live", await publisher.says()
    await publisher.picture(place.picture("token"), whole=True)
    viewer = await place.browser.open(f"{server.url}/watch?room=closed")
    await viewer.state("refused")
    await viewer.type("#token", "let-me-see")
    await viewer.click("#ask-token button")
    await viewer.state("playing")
    # A session ends for nobody who has its address alone.
    answer = await server.ask("POST", "/whip/other", b"v=0", token="let-me-se")
    assert answer.status == 401 and "bearer" in answer.headers["www-authenticate"].lower(), answer
    await no_complaints(publisher, viewer)
    await viewer.close()
    await publisher.close()
    return "refused without, let in with it"
