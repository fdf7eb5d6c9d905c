# SPDX-License-Identifier: GPL-3.0-or-later
"""The chat's page in real browsers: two people talk, and nobody's words become markup."""

from accessible import barriers, stops
from chat_page import Chat, Person
from harness import equal, run, test
from scripted import Relay


@test
def two_browsers_talk():
    with Chat() as server, Person(server, "ada") as ada, Person(server, "bob", width=390, height=800, scheme="dark") as bob:
        ada.say("hello Bob")
        bob.hears("hello Bob")
        bob.say("hello Ada")
        ada.hears("hello Ada")
        ada.page.wait_for("!document.querySelector('.pending')")
        equal(ada.texts(), ["hello Bob", "hello Ada"])
        ada.page.wait_for("document.querySelectorAll('#member-list li').length === 2")
        ada.say("/topic about this and that")
        for person in (ada, bob):
            equal(person.page.complaints, [], "what the browser complained of")


@test
def the_page_is_for_everybody():
    with Chat() as server:
        for nick, more in (("ada", {}), ("bob", {"width": 390, "height": 800, "scheme": "dark"})):
            with Person(server, nick, **more) as person:
                person.say("hello")
                person.page.wait_for("document.querySelector('.mine') && !document.querySelector('.pending')")
                equal(barriers(person.page), [], str(more))
                equal(stops(person.page)[-5:], ["#log", "edit", "delete", "#say", "Send"], "what Tab reaches, at last")
                if more:  # the list of rooms lies over the rest there
                    person.page.evaluate("document.querySelector('#open-rooms').click()")
                    equal(person.page.evaluate("document.activeElement.id"), "close-rooms")
                    equal(barriers(person.page), [], "with its rooms")
                    person.page.evaluate("document.querySelector('#room-list button').click()")
                    equal(person.page.evaluate("document.activeElement.id"), "say")
                else:
                    person.page.evaluate("document.querySelector('#room-list button').focus()")
                    person.page.evaluate("document.querySelector('#room-list button').click()")  # the list is made anew
                    equal(person.page.evaluate("document.activeElement.textContent"), "# lobby")
                equal(person.page.complaints, [], "what the browser complained of")


@test
def nobody_s_words_become_markup():
    evil = "<img src=x onerror=\"document.title='broken'\"><b>bold</b>&amp; </textarea><script>alert(1)</script>"
    with Chat() as server, Person(server, "ada") as ada, Person(server, "mallory") as mallory:
        mallory.say(evil)
        ada.hears(evil)
        equal(ada.page.evaluate("document.querySelectorAll('#messages img, #messages b:not(.by b), #messages script').length"),
              0)
        equal(ada.page.evaluate("document.title.includes('broken')"), False)
        equal(ada.page.complaints, [], "what the browser complained of")


@test
def a_message_is_changed_and_taken_back():
    with Chat() as server, Person(server, "ada") as ada, Person(server, "bob") as bob:
        ada.say("frist")
        bob.hears("frist")
        ada.page.wait_for("!document.querySelector('.pending')")
        ada.page.evaluate("document.querySelector('#messages .tools button').click()")
        ada.say("first")
        bob.hears("first")
        ada.page.evaluate("document.querySelectorAll('#messages .tools button')[1].click()")
        bob.hears("was deleted")
        equal(bob.page.complaints, [], "what the browser complained of")


class Way(Relay):
    """To a server's page. When it has been cut, nothing passes before it is opened."""

    def __init__(self, server):
        super().__init__(server.web)
        self.web = self.port

    def cut(self):
        self.open = False
        super().cut()


@test
def a_page_that_lost_its_connection_goes_on_where_it_was():
    with Chat() as server, Person(server, "ada") as ada, Way(server) as relay, Person(relay, "bob") as bob:
        ada.say("before")
        bob.hears("before")
        relay.cut()
        bob.page.wait_for("document.querySelector('#state').textContent !== 'connected'")
        ada.say("meanwhile")
        bob.say("said without a connection")
        ada.page.wait_for("!document.querySelector('.pending')")
        equal(bob.texts(), ["before", "said without a connection"])
        relay.open = True
        bob.hears("meanwhile")
        ada.hears("said without a connection")
        bob.page.wait_for("!document.querySelector('.pending')")
        equal(bob.texts(), ["before", "meanwhile", "said without a connection"])
        equal(ada.texts(), ["before", "meanwhile", "said without a connection"])


run()
