# SPDX-License-Identifier: GPL-3.0-or-later
"""gyre chat admin, and what people do to their own accounts: from a shell, against a server that runs."""

import json
import os
import subprocess

from chat_crash import Chat
from chat_wire import PASSWORD, TOKEN, ended
from harness import ALARMS, PROGRAM, equal, output_of, run, test, true, until


def admin(chat, *words, store=None):
    """(status, rows, what it complained of) of one command, by the token beside the store."""
    status, out, errors = output_of([PROGRAM, "chat", "admin", "--server", f"127.0.0.1:{chat.ports['port']}", "--json",
                                     "--store", store or os.path.join(chat.folder, "chat.db"), *words])
    true(not ALARMS.search(errors), errors)
    return status, [json.loads(line) for line in out.splitlines()], errors


def done(chat, *words):
    status, rows, errors = admin(chat, *words)
    equal((status, errors), (0, ""), words)
    return rows


def account(chat, nick, password="a long password"):
    client = chat.client()
    client.hello()
    client.token = client.ask("REGISTER", nick=nick, password=password).token
    return client


@test
def who_may_read_the_store_operates_the_server():
    with Chat() as chat, chat.guest("bert") as bert, account(chat, "Anna") as anna:
        equal(os.stat(os.path.join(chat.folder, "chat.db.operator")).st_mode & 0o777, 0o600)
        bert.join("court")
        bert.ask("TOPIC", room=bert.room["court"], client_id=0, topic="of law")
        rows = {row["nick"]: row for row in done(chat, "connections")}
        equal(sorted(rows), ["Anna", "bert", "server"])
        equal((rows["bert"]["account"], rows["bert"]["rooms"], rows["bert"]["address"]), (False, 1, "127.0.0.1"))
        equal((rows["Anna"]["account"], rows["Anna"]["operator"], rows["server"]["operator"]), (True, False, True))
        equal(done(chat, "rooms"), [{"type": "room", "name": "court", "members": 1, "topic": "of law"}])
        equal([(row["nick"], row["operator"]) for row in done(chat, "accounts")], [("Anna", False)])
        done(chat, "announce", "we", "restart", "at ten")
        for client in (anna, bert):
            notice = client.hear("NOTICE")
            equal((notice.sender, notice.contents), ("server", "we restart at ten"))
        with chat.client() as guest:
            guest.hello()
            equal(guest.login("server").error, "taken")
            equal(guest.login("server", TOKEN, "0" * 112).error, "refused")


@test
def who_is_kicked_or_banned_goes_and_it_is_logged():
    with Chat() as chat, account(chat, "eve") as eve, chat.guest("anna") as anna:
        done(chat, "kick", "eve", "enough", "of that")
        end = ended(eve)[-1]
        equal((end.error, end.fatal, "enough of that" in end.sentence), ("forbidden", 1, True))
        with chat.client() as again:
            again.hello()
            equal(again.login("eve", PASSWORD, "a long password").kind, "IDENTITY")
            done(chat, "--for", "3600", "ban", "Eve", "spam")
            true("spam" in ended(again)[-1].sentence, "it says why")
        ban, = done(chat, "bans")
        equal((ban["subject"], ban["by"], ban["reason"]), ("eve", "server", "spam"))
        equal(ban["until_ms"] - ban["time_ms"], 3600000)
        chat.kill_serving()
        until(chat.answers, "it serves again")
        for method, secret in ((PASSWORD, "a long password"), (TOKEN, eve.token)):
            with chat.client() as again:
                again.hello()
                answer = again.login("eve", method, secret)
                equal((answer.error, "until" in answer.sentence), ("forbidden", True))
        done(chat, "unban", "eve")
        equal(done(chat, "bans"), [])
        with chat.client() as again:
            again.hello()
            equal(again.login("eve", PASSWORD, "a long password").kind, "IDENTITY")
        for words in (("unban", "eve"), ("kick", "nobody"), ("revoke", "nobody"), ("keep-room", "nowhere"), ("ban", "10.0.0.0/1")):
            status, _, errors = admin(chat, *words)
            true(status == 1 and len(errors) > 30, (words, status, errors))
        lines = [line for line in chat.log().splitlines() if "moderated" in line]
        true(any("act=ban" in line and "by=server" in line and "whom=eve" in line and "reason=spam" in line and "until=1" in line
                 for line in lines), str(lines))
        true(any("act=kick" in line and "whom=eve" in line for line in lines) and any("act=unban" in line for line in lines), str(lines))


@test
def an_address_is_banned_but_not_for_who_operates():
    with Chat() as chat, chat.guest("anna") as anna:
        done(chat, "ban", "127.0.0.0/8", "all of you")
        true("all of you" in ended(anna)[-1].sentence, "anna goes")
        with chat.client() as again:
            again.hello()
            equal(again.login("bert").error, "forbidden")
        equal([ban["subject"] for ban in done(chat, "bans")], ["127.0.0.0/8"])
        done(chat, "unban", "127.0.0.0/8")
        chat.guest("bert").close()


@test
def accounts_are_logged_out_get_passwords_and_operate():
    with Chat() as chat, account(chat, "anna") as anna, account(chat, "bert") as bert:
        done(chat, "revoke", "anna")
        equal(ended(anna)[-1].error, "refused")
        with chat.client() as again:
            again.hello()
            equal(again.login("anna", TOKEN, anna.token).error, "refused")
            equal(again.login("anna", PASSWORD, "a long password").kind, "IDENTITY")
        secret = os.path.join(chat.folder, "secret")
        for name, text in (("secret", "quite another one"), ("berts", "a long password")):
            with open(os.path.join(chat.folder, name), "w", encoding="utf-8") as file:
                file.write(text + "\n")
        done(chat, "--new-password-file", secret, "password", "anna")
        with chat.client() as again:
            again.hello()
            equal(again.login("anna", PASSWORD, "a long password").error, "refused")
            equal(again.login("anna", PASSWORD, "quite another one").kind, "IDENTITY")
        by_account = [PROGRAM, "chat", "admin", "--server", f"127.0.0.1:{chat.ports['port']}", "--nick", "bert",
                      "--password-file", os.path.join(chat.folder, "berts"), "accounts"]
        status, _, errors = output_of(by_account)
        true(status == 1 and "Only who operates the server" in errors, errors)
        done(chat, "operator", "bert")
        status, out, errors = output_of(by_account)
        equal((status, errors), (0, ""))
        true("bert" in out and "operator" in out, out)
        chat.kill_serving()
        until(chat.answers, "it serves again")
        equal(output_of(by_account)[0], 0, "it is one for good")
        done(chat, "no-operator", "bert")
        equal(output_of(by_account)[0], 1)
        bert.close()


@test
def rooms_of_guests_are_kept_or_dropped():
    with Chat("keep-guest-rooms 1s;", workers=4) as chat, account(chat, "anna") as anna:
        with chat.guest("bert") as bert:
            for room in ("kept", "gone"):
                bert.join(room)
                bert.send(room, "hello")
                anna.join(room)
            done(chat, "keep-room", "kept")
            done(chat, "drop-room", "gone", "spam")
            for client in (anna, bert):
                equal(client.hear("CAME", what=3).room, client.room["gone"])
            before = bert.room["gone"]
            joined, _ = bert.join("gone", since=1)
            true(joined.room != before and joined.last == 0, str(joined))
        chat.kill_serving()
        until(chat.answers, "it serves again")
        until(lambda: [row["name"] for row in done(chat, "rooms")] == ["kept"], "only what was kept stays", 30)
        with chat.guest("cora") as cora:
            equal([frame.contents for frame in cora.join("kept", history=5)[1]], ["hello"])


@test
def one_changes_one_s_password_and_logs_out_everywhere_else():
    with Chat() as chat, account(chat, "anna") as anna:
        files = {}
        for name, text in (("old", "a long password"), ("new", "quite another one")):
            files[name] = os.path.join(chat.folder, name)
            with open(files[name], "w", encoding="utf-8") as file:
                file.write(text + "\n")

        def account_of(*flags):
            return output_of([PROGRAM, "chat", "--nick", "anna", *flags, f"127.0.0.1:{chat.ports['port']}"])

        status, _, errors = account_of("--password-file", files["new"], "--new-password-file", files["old"])
        true(status == 1 and "wrong" in errors, errors)
        equal(account_of("--password-file", files["old"], "--new-password-file", files["new"]), (0, "", ""))
        equal(ended(anna)[-1].error, "refused")
        with chat.client() as again:
            again.hello()
            equal(again.login("anna", TOKEN, anna.token).error, "refused")
            equal(again.login("anna", PASSWORD, "quite another one").kind, "IDENTITY")
            equal(again.ask("CHANGE", old="a long password", password="x" * 20).error, "refused")
            equal(account_of("--password-file", files["new"], "--log-out"), (0, "", ""))
            equal(ended(again)[-1].error, "refused")


@test
def what_is_no_command_is_misuse_and_a_store_that_is_none_is_told():
    for words in ([], ["dance"], ["kick"], ["bans", "please"], ["--room", "x", "bans"]):
        status, _, errors = output_of([PROGRAM, "chat", "admin", *words])
        true(status == 2 and "gyre chat" in errors, (words, status, errors))
    status, _, errors = output_of([PROGRAM, "chat", "admin", "--store", "/nowhere/chat.db", "bans"])
    true(status == 1 and "/nowhere/chat.db.operator" in errors and "--nick" in errors, errors)
    status, out, _ = output_of([PROGRAM, "chat", "admin", "--help"])
    true(status == 0 and "drop-room" in out, out)


@test
def a_store_is_made_where_programs_keep_their_state():
    with Chat() as chat:
        state = os.path.join(chat.folder, "state")
        environment = dict(os.environ, XDG_STATE_HOME=state)
        command = [PROGRAM, "chat", "serve", "--listen", "127.0.0.1:0"]
        wanted = os.path.join(state, "gyre", "chat.db")
        if os.geteuid() == 0:  # whose is /var/lib
            command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]
            os.chmod(chat.folder, 0o711)
            os.mkdir(state)
            os.chown(state, 65534, 65534)
        with subprocess.Popen(command, env=environment, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            lines = [process.stdout.readline(), process.stdout.readline()]
            until(lambda: os.path.exists(wanted + ".operator"), "the process that serves has opened it")
            process.terminate()
        true("listening on" in lines[0] and wanted in lines[1], str(lines))
        equal(os.stat(os.path.dirname(wanted)).st_mode & 0o777, 0o700)
        equal(os.stat(wanted).st_mode & 0o777, 0o600)


run()
