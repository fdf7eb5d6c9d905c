# SPDX-License-Identifier: GPL-3.0-or-later
"""gyre chat HOST on a terminal: panes of rooms, messages and members, keys, scrolling back, other sizes, and its end."""

import signal
import termios

from chat_crash import Chat
from harness import ALARMS, PROGRAM, equal, run, test, true, until
from terminal import Terminal

PAGE_UP, PAGE_DOWN, LEFT, F2 = "\x1b[5~", "\x1b[6~", "\x1b[D", "\x1b[[B"


class Panes(Terminal):
    """`gyre chat` with a nick and a room, in it."""

    def __init__(self, chat, nick, room="lobby", **more):
        super().__init__([PROGRAM, "chat", "--nick", nick, "--room", room, f"127.0.0.1:{chat.ports['port']}"], **more)

    def __enter__(self):
        self.wait("connected", "that it is connected")
        return self

    def shows(self, text):
        self.wait(text, repr(text))

    def lacks(self, text):
        self.wait(lambda screen: text not in screen, f"the screen without {text!r}")

    def ends(self, status=0):
        """It has ended, and the terminal is as it was."""
        equal(self.end(), status, self.screen.text())
        equal(termios.tcgetattr(self.slave), self.before, "the terminal's settings")
        true(not ALARMS.search(self.all), self.all[-3000:])
        equal(self.screen.unknown, [], "sequences that a Linux console does not have")


@test
def people_in_panes_see_each_other_and_talk():
    with Chat() as chat, chat.guest("anna") as anna:
        anna.join("garden")
        with Panes(chat, "bert", "garden") as bert:
            for words in ("#garden", "for me", "anna", " bert"):
                bert.shows(words)
            anna.send("garden", "hello from afar")
            bert.shows("hello from afar")
            bert.press("hullo" + LEFT * 4 + "\x7f" + "Hé\u0107ć" + "\r")
            equal(anna.hear("MESSAGE").contents, "Hé\u0107ćullo")
            bert.shows("Hé\u0107ćullo")
            with chat.guest("cora") as cora:
                cora.join("garden")
                bert.shows("cora")
                cora.ask("TELL", nick="bert", client_id=7, contents="only for you")
                bert.shows("for me (1)")
                bert.press("\t")
                bert.shows("only for you")
                bert.press("/msg cora and for you\r")
                cora.join("@")
                bert.shows("to cora")
                bert.press("\t")
                bert.lacks("only for you")
            bert.lacks(" cora")
            bert.press(F2)
            bert.lacks(" anna\n")
            bert.press("/nonsense\r")
            bert.shows("there is no /nonsense")
            bert.press("/edit Hello\r")
            equal((anna.hear("MESSAGE", sort=1).contents), "Hello")
            bert.shows("Hello")
            bert.press("/delete\r")
            anna.hear("MESSAGE", sort=2)
            bert.lacks("Hello")
            bert.press("/rooms\r")
            bert.shows("#garden (2)")
            bert.press("/join pond\r")
            bert.shows("#pond")
            bert.press("/quit\r")
            bert.ends()


@test
def what_others_write_and_are_called_drives_no_terminal():
    with Chat() as chat, chat.guest("anna") as anna:
        anna.join("garden")
        with Panes(chat, "bert", "garden") as bert:
            anna.send("garden", "w\x1b[31mild \x1b]0;evil\x07 \u202eback \x9b2J end")
            anna.ask("TOPIC", room=anna.room["garden"], client_id=1, topic="to\x1b[2Jpic\nof it")
            bert.shows("end")
            bert.shows("to\ufffd[2Jpic of it")
            true("w\ufffd[31mild \ufffd]0;evil\ufffd \ufffdback \ufffd2J end" in bert.screen.text(), bert.screen.text())
            true("\u202e" not in bert.all and "\x1b]0" not in bert.all, "nothing of it is sent")
            bert.press("\x03")
            bert.ends()


@test
def one_scrolls_back_to_the_first_message_and_forth():
    with Chat() as chat, chat.guest("anna") as anna:
        anna.join("lobby")
        for number in range(1, 121):
            anna.send("lobby", f"words {number}.")
        with Panes(chat, "bert") as bert:
            bert.shows("words 120.")
            for _ in range(100):
                bert.press(PAGE_UP)
                while bert.read(0.1):
                    pass
                if "words 1." in bert.screen.text():
                    break
            bert.shows("words 1.")
            bert.shows("scrolled up")
            numbers = [int(line.split("words ")[1].split(".")[0]) for line in bert.screen.text().splitlines()
                       if "words " in line]
            equal(numbers, list(range(1, len(numbers) + 1)), "the order of what came page by page")
            for _ in range(40):
                bert.press(PAGE_DOWN)
            bert.shows("words 120.")
            bert.lacks("scrolled up")
            bert.press("\x04")
            bert.ends()


@test
def a_terminal_of_another_size_is_drawn_anew():
    with Chat() as chat, chat.guest("anna") as anna:
        anna.join("lobby")
        with Panes(chat, "bert") as bert:
            anna.send("lobby", "word " * 40 + "last")
            bert.shows("last")
            for rows, columns in ((40, 132), (10, 40), (3, 10), (1, 1), (24, 80)):
                bert.resize(rows, columns)
                if rows >= 10:
                    bert.shows("last")
                    bert.shows("bert  connected")
            bert.press("still here\r")
            equal(anna.hear("MESSAGE").contents, "still here")
            bert.press("\x03")
            bert.ends()


@test
def a_lost_connection_is_made_again_without_a_gap():
    with Chat() as chat, Panes(chat, "bert") as bert:
        bert.press("before\r")
        bert.shows("before")
        chat.kill_serving()
        bert.shows("connecting again")
        bert.press("meanwhile\r")
        bert.shows("bert  connected")
        with chat.guest("anna") as anna:
            room = anna.join("lobby")[0].room

            def said():
                return [frame.contents for frame in anna.ask_all("HISTORY", room=room, by=0, point=0, max=9)[:-1]]

            until(lambda: said() == ["before", "meanwhile"], "what was typed meanwhile is there")
            anna.send("lobby", "after")
            bert.shows("after")
        texts = [line for line in bert.screen.text().splitlines() if "before" in line or "meanwhile" in line]
        equal(len(texts), 2, "nothing is shown twice")
        bert.press("\x03")
        bert.ends()


@test
def a_signal_gives_the_terminal_back():
    with Chat() as chat, Panes(chat, "bert") as bert:
        bert.process.send_signal(signal.SIGTERM)
        bert.ends(130)
    with Terminal([PROGRAM, "chat", "127.0.0.1:1"]) as alone:
        equal(alone.end(), 1)
        true("refused" in alone.all, alone.all)
        equal(termios.tcgetattr(alone.slave), alone.before, "the terminal's settings")
    with Terminal(["/bin/sh", "-c", f"TERM=nonsense exec {PROGRAM} chat 127.0.0.1:1"]) as strange:
        equal(strange.end(), 1)
        true("--plain" in strange.all and "nonsense" in strange.all, strange.all)


run()
