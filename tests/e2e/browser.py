"""A headless Chromium, driven by its DevTools protocol: enough to open a page, type, read it and take its picture."""
import base64
import contextlib
import json
import re
import shutil
import subprocess
import time
import urllib.request

from websockets.sync.client import connect

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
LIMIT_S = 60


class Browser:
    """`with Browser(folder) as page:` is one page of one browser; `complaints` holds its errors and violations of policy."""

    def __init__(self, folder, width=1280, height=800):
        self.folder, self.size = folder, (width, height)
        self.complaints = []
        self.last_id = 0

    def __enter__(self):
        # Containers and root have no sandbox of their own to give.
        command = [PROGRAM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
        command += ["--remote-debugging-port=0", f"--user-data-dir={self.folder}", "--no-first-run", "about:blank"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        port = next(filter(None, (re.search(r"listening on ws://127\.0\.0\.1:(\d+)/", line) for line in self.process.stderr)))[1]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=LIMIT_S) as answer:
            target = next(target for target in json.load(answer) if target["type"] == "page")
        self.stack = contextlib.ExitStack()
        self.socket = self.stack.enter_context(connect(target["webSocketDebuggerUrl"], max_size=None, open_timeout=LIMIT_S))
        for domain in ("Page", "Runtime", "Log"):
            self.call(domain + ".enable")
        width, height = self.size
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        return self

    def __exit__(self, *_):
        self.stack.close()
        self.process.terminate()
        self.process.wait(LIMIT_S)

    def call(self, method, **params):
        self.last_id += 1
        self.socket.send(json.dumps({"id": self.last_id, "method": method, "params": params}))
        while True:
            message = json.loads(self.socket.recv(timeout=LIMIT_S))
            if message.get("method") == "Runtime.exceptionThrown":
                self.complaints.append(message["params"]["exceptionDetails"].get("exception", {}).get("description", "?"))
            if message.get("method") == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
                self.complaints.append(message["params"]["entry"]["text"])
            if message.get("id") == self.last_id:
                assert "error" not in message, message["error"]
                return message["result"]

    def open(self, url):
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def value(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait(self, expression):
        """Waits until the expression is true."""
        start = time.monotonic()
        while not self.value(f"Boolean({expression})"):
            assert time.monotonic() - start < LIMIT_S, f"{expression}: never; complaints: {self.complaints}"
            time.sleep(0.05)

    def text(self, selector):
        return self.value(f"document.querySelector({json.dumps(selector)})?.innerText")

    def type(self, text):
        self.call("Input.insertText", text=text)

    def press(self, key, code=0):
        text = {"Enter": "\r"}.get(key)
        event = {"key": key, "code": key, "windowsVirtualKeyCode": code, **({"text": text} if text else {})}
        self.call("Input.dispatchKeyEvent", type="keyDown", **event)
        self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    def prefer(self, scheme):
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def picture(self, path):
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))
