"""The built-in pages in a real browser: a conversation by keyboard, stopping, the key, both colour schemes, the API's page."""
import os
import pathlib
import random
import threading

import pytest

pytest.importorskip("websockets")
import browser
from harness import MODEL_NAME, Server, wait_for
from test_openai_sdk import ANSWER, QUESTION

pytestmark = pytest.mark.skipif(browser.PROGRAM is None, reason="no chromium on this machine")

KEY = "sk-of-the-page"
QUESTIONS = [f"What does the {command} command do?" for command in ("grep", "tail", "chmod")]
ENTER, ESCAPE, TAB = ("Enter", 13), ("Escape", 27), ("Tab", 9)
LAST = "document.querySelector('.turn.assistant:last-child')"
# Answers that only a person ends.
ENDLESS = """const plain = window.fetch;
window.fetch = (path, options = {}) => plain(path, path === "/v1/chat/completions"
  ? {...options, body: JSON.stringify({...JSON.parse(options.body), ignore_eos: true, max_tokens: 8000})} : options);"""


@pytest.fixture
def page(tmp_path):
    with browser.Browser(tmp_path / "profile") as opened:
        yield opened
    assert opened.complaints == []


def say(page, text):
    page.type(text)
    page.press(*ENTER)


def wait_for_answer(page):
    page.wait(f"{LAST} && !{LAST}.classList.contains('busy')")


def open_chat(page, server):
    page.open(server.url + "/")
    page.wait("document.getElementById('model').value")


def test_a_conversation_by_keyboard(server, page):
    open_chat(page, server)
    assert page.value("document.getElementById('model').value") == MODEL_NAME
    say(page, QUESTION[0]["content"])
    wait_for_answer(page)
    assert page.text(".turn.assistant .text") == ANSWER
    assert "tokens · first after" in page.text(".turn.assistant .note")
    say(page, "And sed?")  # the focus has stayed
    page.wait("document.querySelectorAll('.turn').length === 4")
    wait_for_answer(page)
    page.wait("document.getElementById('state').innerText === 'Ready'")
    page.value("document.getElementById('fresh').click()")
    assert page.value("document.querySelectorAll('.turn').length") == 0
    assert page.value("document.activeElement.id") == "question"


def test_numbers_move(server, page):
    open_chat(page, server)
    page.value(ENDLESS)
    say(page, "Go on.")
    page.wait("document.getElementById('running').innerText === '1'")
    page.wait("Number(document.getElementById('rate').innerText) > 0")
    page.wait("parseFloat(document.getElementById('kv').innerText) > 0")
    page.press(*ESCAPE)
    page.wait("document.getElementById('running').innerText === '0'")


def test_stop_cancels_the_request(server, page):
    open_chat(page, server)
    page.value(ENDLESS)
    say(page, "Go on.")
    page.wait(f"{LAST}?.innerText.length > 20")
    assert page.value("document.getElementById('send').hidden") is True
    page.value("document.getElementById('stop').click()")
    wait_for_answer(page)
    assert page.text(".turn.assistant .note") == "stopped"
    assert page.value("document.getElementById('stop').hidden") is True
    server.wait_until_idle()


def test_a_new_chat_forgets_the_answer_under_way(server, page):
    open_chat(page, server)
    page.value(ENDLESS)
    say(page, "Go on.")
    page.wait(f"{LAST}?.innerText.length > 20")
    page.value("document.getElementById('fresh').click()")
    page.wait("document.getElementById('stop').hidden")
    assert page.value("document.querySelectorAll('.turn').length + turns.length") == 0
    server.wait_until_idle()


def test_what_a_server_refuses_is_shown_in_its_words(server, page):
    open_chat(page, server)
    page.value("document.getElementById('length').value = 99999999")
    page.value("document.getElementById('question').focus()")
    say(page, "x")
    page.wait("document.querySelector('.note.bad')")
    assert "context length" in page.text(".note.bad")
    assert page.value("document.getElementById('question').value") == "x"
    page.complaints.clear()  # the browser logs a 400 as an error of its own


def test_the_key_is_asked_for_and_kept_in_memory_only(tmp_path, page):
    with Server(tmp_path / "log", api_key=KEY) as server:
        page.open(server.url + "/")
        page.wait("document.getElementById('door').open")
        say(page, "wrong")
        page.wait("document.getElementById('doorstate').innerText.includes('not valid')")
        say(page, KEY)
        page.wait("document.getElementById('model').value")
        say(page, QUESTION[0]["content"])
        wait_for_answer(page)
        assert page.text(".turn.assistant .text") == ANSWER
        assert page.value("localStorage.length + sessionStorage.length + document.cookie.length") == 0
        page.open(server.url + "/docs")
        page.wait("!document.getElementById('keyform').hidden")
        say(page, KEY)
        page.wait("document.querySelectorAll('summary').length > 10")
    page.complaints.clear()  # likewise each 401


def luminance(page, of, what):
    red, green, blue = page.value(f"getComputedStyle({of}).{what}.match(/\\d+/g).slice(0, 3).map(Number)")
    return 0.2126 * (red / 255) ** 2.2 + 0.7152 * (green / 255) ** 2.2 + 0.0722 * (blue / 255) ** 2.2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_schemes(server, page, scheme):
    page.prefer(scheme)
    open_chat(page, server)
    paper = luminance(page, "document.body", "backgroundColor")
    assert (paper > 0.5) == (scheme == "light")
    for of in ("document.body", "document.getElementById('hello')", "document.querySelector('a')"):
        ink = luminance(page, of, "color")
        assert (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05) > 4.5, of  # WCAG's AA


def test_every_control_is_reached_by_tab(server, page):
    open_chat(page, server)
    reached = set()
    for _ in range(12):
        page.press(*TAB)
        reached.add(page.value("document.activeElement.id || document.activeElement.tagName"))
    assert {"model", "fresh", "A", "log", "question", "send", "SUMMARY"} <= reached


def test_the_api_is_shown(server, page):
    page.open(server.url + "/docs")
    page.wait("document.querySelectorAll('details').length > 10")
    assert "/v1/chat/completions" in page.text("main")
    assert page.value("document.getElementById('key').offsetParent") is None  # this server asks for none
    page.value("document.querySelector('details').open = true")
    assert "temperature" in page.text("main")


def keep_busy(server, seed, over):
    """Asks again and again, with pauses, after a prefix that all share."""
    rng = random.Random(seed)
    prefix = "The ls command lists files, the cat command prints them. " * 8
    while not over.wait(rng.uniform(0, 3)):
        body = {"model": MODEL_NAME, "prompt": f"{prefix}{rng.random()}", "max_tokens": rng.randint(50, 700), "ignore_eos": True}
        server.post("/v1/completions", body)


@pytest.mark.skipif("SLUICE_SCREENSHOTS" not in os.environ, reason="SLUICE_SCREENSHOTS names no folder for page-*.png")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_screenshots(tmp_path, page, scheme):
    """The pictures of docs/: a conversation beside a server that has other work too."""
    page.prefer(scheme)
    options = {"max_num_seqs": 4, "max_model_len": 2048, "kv_cache_memory_bytes": "48MiB"}
    over = threading.Event()
    with Server(tmp_path / "log", **options) as server:
        threads = [threading.Thread(target=keep_busy, args=(server, seed, over)) for seed in range(6)]
        for thread in threads:
            thread.start()
        open_chat(page, server)
        page.value("document.getElementById('temperature').value = 0")
        for number, question in enumerate(QUESTIONS, 1):
            say(page, question)
            page.wait(f"document.querySelectorAll('.turn').length === {2 * number}")
            wait_for_answer(page)
        wait_for(lambda: page.value("plots.running.values.length === kSamples"), 120, "a minute of numbers")
        page.picture(pathlib.Path(os.environ["SLUICE_SCREENSHOTS"]) / f"page-{scheme}.png")
        over.set()
        for thread in threads:
            thread.join()
