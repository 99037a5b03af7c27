"""Chromium as its user has it, driven over the pipe of its debugging protocol."""

import asyncio
import base64
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

# A camera whose picture moves, a microphone that beeps, no questions to anybody, and nothing to the world outside.
FLAGS = """--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-quic --no-first-run --mute-audio
    --disable-background-networking --disable-component-update --disable-sync --disable-default-apps
    --disable-extensions --disable-features=Translate,MediaRouter,OptimizationHints
    --disable-renderer-backgrounding --disable-background-timer-throttling --disable-backgrounding-occluded-windows
    --allow-loopback-in-peer-connection --use-fake-device-for-media-stream --use-fake-ui-for-media-stream
    --autoplay-policy=no-user-gesture-required --remote-debugging-pipe""".split()


class Browser:
    """One Chromium with a new profile. As many of its tabs as are opened run side by side."""

    async def start(self, without=()):
        self.folder = tempfile.mkdtemp(prefix="sfu-browser-")
        self.answers, self.tabs, self.count = {}, {}, 0
        command_read, self.command_write = os.pipe()
        event_read, event_write = os.pipe()

        def set_up():
            # The protocol has 3 and 4. Neither end may be one of them already.
            read, write = os.dup2(command_read, 50), os.dup2(event_write, 51)
            os.dup2(read, 3)
            os.dup2(write, 4)

        self.process = await asyncio.create_subprocess_exec(
            "chromium", *(flag for flag in FLAGS if flag not in without),
            f"--user-data-dir={self.folder}", "about:blank",
            preexec_fn=set_up, close_fds=False, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL, start_new_session=True,
        )
        os.close(command_read)
        os.close(event_write)
        self.events = asyncio.StreamReader(limit=1 << 26)
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(self.events), os.fdopen(event_read, "rb"))
        self.reading = asyncio.create_task(self._read())
        await self.ask("Target.setDiscoverTargets", discover=True)
        return self

    async def _read(self):
        while True:
            try:
                said = json.loads((await self.events.readuntil(b"\0"))[:-1])
            except asyncio.IncompleteReadError:
                break
            if answer := self.answers.pop(said.get("id"), None):
                answer.set_result(said)
            elif tab := self.tabs.get(said.get("sessionId")):
                tab.hear(said["method"], said["params"])
        for answer in self.answers.values():
            answer.set_exception(ConnectionError("the browser is gone"))

    async def ask(self, method, session=None, patience=30, **params):
        self.count += 1
        answer = self.answers[self.count] = asyncio.get_running_loop().create_future()
        said = {"id": self.count, "method": method, "params": params} | ({"sessionId": session} if session else {})
        os.write(self.command_write, json.dumps(said).encode() + b"\0")
        said = await asyncio.wait_for(answer, patience)
        if "error" in said:
            raise RuntimeError(f"{method}: {said['error']['message']}")
        return said["result"]

    async def open(self, address, width=1280, height=800, scale=1, dark=False):
        """A tab, as it is once its page is loaded."""
        target = (await self.ask("Target.createTarget", url="about:blank"))["targetId"]
        session = (await self.ask("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        tab = self.tabs[session] = Tab(self, target, session)
        for domain in ("Page", "Runtime", "Log"):
            await tab.ask(f"{domain}.enable")
        # As if it were the tab in front: the browsers of several people in one.
        await tab.ask("Emulation.setFocusEmulationEnabled", enabled=True)
        await tab.look_like(width, height, scale, dark)
        await tab.go(address)
        return tab

    async def stop(self):
        try:
            await self.ask("Browser.close", patience=5)
            await asyncio.wait_for(self.process.wait(), 10)
        except (Exception, asyncio.CancelledError):
            if self.process.returncode is None:
                os.killpg(self.process.pid, 9)
                await self.process.wait()
        self.reading.cancel()
        os.close(self.command_write)
        shutil.rmtree(self.folder, ignore_errors=True)


class Tab:
    """One page, and what it has complained of."""

    def __init__(self, browser, target, session):
        self.browser, self.target, self.session = browser, target, session
        self.complaints, self.loaded = [], asyncio.Event()

    def hear(self, method, params):
        if method == "Page.loadEventFired":
            self.loaded.set()
        elif method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            self.complaints.append(" ".join(str(one.get("value", one.get("description"))) for one in params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            entry = params["entry"]
            # A browser writes down each answer that is an error. Those that belong here the tests look at themselves.
            if entry["source"] != "network":
                self.complaints.append(f'{entry["source"]}: {entry["text"]}')

    async def ask(self, method, **params):
        return await self.browser.ask(method, self.session, **params)

    async def look_like(self, width, height, scale=1, dark=False):
        await self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale,
                       mobile=width < 600)
        await self.ask("Emulation.setEmulatedMedia",
                       features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    async def go(self, address):
        self.loaded.clear()
        await self.ask("Page.navigate", url=address)
        await asyncio.wait_for(self.loaded.wait(), 30)

    async def run(self, script):
        """What a script gives, as JSON. It may wait."""
        said = await self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True,
                              userGesture=True)
        if "exceptionDetails" in said:
            raise RuntimeError(f'{script}: {said["exceptionDetails"].get("exception", {}).get("description")}')
        return said["result"].get("value")

    async def until(self, script, patience=20):
        """Waits until a script gives something, and gives it. Says what the page shows if it does not."""
        end = time.monotonic() + patience
        while True:
            if got := await self.run(script):
                return got
            if time.monotonic() > end:
                seen = await self.run("JSON.stringify({address: location.href, whip: window.whip,"
                                      " says: document.getElementById('state')?.textContent})")
                raise AssertionError(f"after {patience} s still not {script}; the page has {seen}; {self.complaints}")
            await asyncio.sleep(0.1)

    async def state(self, *names, patience=20):
        """Waits until the page is in one of these states."""
        return await self.until(f"{json.dumps(names)}.includes(window.whip?.state) && window.whip.state", patience)

    async def says(self):
        return await self.run("document.getElementById('state').textContent")

    async def click(self, selector):
        """A click of the mouse, where a user would make it: into the middle of what can be seen."""
        await self.until(f"(e => e && !e.disabled)(document.querySelector({json.dumps(selector)}))")
        x, y = await self.run(f"""(e => {{ e.scrollIntoView({{block: 'center'}}); const r = e.getBoundingClientRect();
            return [r.x + r.width / 2, r.y + r.height / 2]; }})(document.querySelector({json.dumps(selector)}))""")
        for kind in ("mousePressed", "mouseReleased"):
            await self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def type(self, selector, text):
        """Puts the cursor into a field and types."""
        await self.run(f"(e => {{ e.focus(); e.select?.(); }})(document.querySelector({json.dumps(selector)}))")
        await self.ask("Input.insertText", text=text)

    async def picture(self, path, middle_of=None, whole=False):
        """A screenshot: of what can be seen, of the whole page, or of the middle of an element, where no button is."""
        params = {"format": "png"}
        if middle_of:
            box = await self.run(f"""(e => {{ const r = e.getBoundingClientRect();
                return {{x: r.x + scrollX + r.width / 4, y: r.y + scrollY + r.height / 4,
                    width: r.width / 2, height: r.height * 0.3, scale: 1}};
                }})(document.querySelector({json.dumps(middle_of)}))""")
            params["clip"] = box
        if whole:
            params["captureBeyondViewport"] = True
            size = (await self.ask("Page.getLayoutMetrics"))["cssContentSize"]
            params["clip"] = size | {"x": 0, "y": 0, "scale": 1}
        png = base64.b64decode((await self.ask("Page.captureScreenshot", **params))["data"])
        Path(path).write_bytes(png)
        return png

    async def close(self):
        """Closes the tab, as its user would: the page may say goodbye."""
        self.browser.tabs.pop(self.session, None)
        await self.browser.ask("Target.closeTarget", targetId=self.target)
