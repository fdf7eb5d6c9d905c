# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests/e2e/compare_nginx asks with: two servers of one tree, questions, and answers read as they come."""

import os
import re
import socket
import subprocess
import tempfile
import time

from harness import Server, free_ports

NGINX_CONFIG = """daemon off;
worker_processes 1;
pid {dir}/pid;
error_log {dir}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    include {types};
    default_type application/octet-stream;
    keepalive_requests 1000000;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    server {{
        listen 127.0.0.1:{port};
        root {root};
        autoindex on;
        gzip_static on;
    }}
}}
"""


class Nginx:
    """The packaged nginx with a configuration of our own: its defaults, and what makes it do the same work."""

    def __init__(self, root):
        self.folder = tempfile.TemporaryDirectory(prefix="gyre-nginx-")
        os.chmod(self.folder.name, 0o755)
        self.port = free_ports(1)[0]
        program = next((path for path in ("/usr/sbin/nginx", "/usr/bin/nginx") if os.access(path, os.X_OK)), None)
        if program is None:
            raise FileNotFoundError("nginx is not installed; bench/peers/nginx install gets it")
        config = os.path.join(self.folder.name, "nginx.conf")
        with open(config, "w", encoding="utf-8") as file:
            file.write(NGINX_CONFIG.format(dir=self.folder.name, port=self.port, root=root, types="/etc/nginx/mime.types"))
        self.process = subprocess.Popen([program, "-p", self.folder.name, "-e", self.folder.name + "/error.log", "-c", config],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        for _ in range(1200):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                time.sleep(0.05)
        self.__exit__()
        raise TimeoutError("nginx does not answer")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)
        self.folder.cleanup()


class Gyre(Server):
    def __init__(self, root, program):
        super().__init__(root, workers=1, program=program)

    def answers(self):
        try:
            return self.get("/").status > 0
        except OSError:
            return False


class Question:
    """`kind` groups questions; {etag} and {modified} in a field stand for what that server itself said of the target."""

    def __init__(self, kind, method, target, *fields, raw=None):
        self.kind, self.method, self.target, self.fields, self.raw = kind, method, target, fields, raw

    def __str__(self):
        if self.raw is not None:
            return repr(self.raw[:120])
        return " ".join([self.method, self.target[:120], *(f"[{field[:80]}]" for field in self.fields)])


class Answer:
    """status 0: the connection was closed without one."""

    def __init__(self, status=0, fields=None, body=b"", whole=True):
        self.status, self.fields, self.body, self.whole = status, fields or {}, body, whole


class Client:
    """A kept connection to one server."""

    def __init__(self, port):
        self.port, self.socket, self.data = port, None, b""
        self.validators = {}  # target -> (ETag, Last-Modified) as this server says

    def close(self):
        if self.socket is not None:
            self.socket.close()
        self.socket, self.data = None, b""

    def more(self):
        data = self.socket.recv(1 << 18)
        self.data += data
        return bool(data)

    def ask(self, question):
        for attempt in range(2):
            fresh = self.socket is None
            if fresh:
                self.socket = socket.create_connection(("127.0.0.1", self.port), 10)
            try:
                self.socket.sendall(self.bytes_of(question))
                answer = self.read(question.method == "HEAD")
            except (BrokenPipeError, ConnectionResetError):
                answer = Answer()
            if answer.status == 0 and not fresh and attempt == 0:
                self.close()
                continue
            break
        connection = answer.fields.get("connection", "").lower()
        if answer.status == 0 or connection == "close" or question.raw is not None or question.kind == "version":
            self.close()
        return answer

    def bytes_of(self, question):
        if question.raw is not None:
            return question.raw
        etag, modified = self.validators.get(question.target, ("", ""))
        fields = [field.replace("{etag}", etag).replace("{modified}", modified) for field in question.fields]
        lines = [f"{question.method} {question.target} HTTP/1.1", "Host: test", *fields]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def read(self, head):
        while b"\r\n\r\n" not in self.data:
            if not self.more():
                return Answer()
        text, self.data = self.data.split(b"\r\n\r\n", 1)
        lines = text.decode("latin-1").split("\r\n")
        match = re.match(r"HTTP/1\.[01] (\d{3})", lines[0])
        if not match:
            return Answer()
        answer = Answer(int(match.group(1)))
        for line in lines[1:]:
            name, _, value = line.partition(":")
            name = name.lower()
            answer.fields[name] = (answer.fields[name] + ", " if name in answer.fields else "") + value.strip()
        if not (head or answer.status < 200 or answer.status in (204, 304)):
            self.read_body(answer)
        return answer

    def read_body(self, answer):
        if answer.fields.get("transfer-encoding", "").lower() == "chunked":
            answer.body = self.chunks()
            return
        if "content-length" in answer.fields:
            length = int(answer.fields["content-length"])
            while len(self.data) < length and self.more():
                pass
            answer.whole = len(self.data) >= length
            answer.body, self.data = self.data[:length], self.data[length:]
            return
        while self.more():
            pass
        answer.body, self.data = self.data, b""
        self.close()

    def line(self):
        while b"\r\n" not in self.data:
            if not self.more():
                raise ConnectionResetError
        line, self.data = self.data.split(b"\r\n", 1)
        return line

    def chunks(self):
        parts = []
        while True:
            size = int(self.line().split(b";")[0], 16)
            if size == 0:
                while self.line():
                    pass
                return b"".join(parts)
            while len(self.data) < size + 2:
                if not self.more():
                    raise ConnectionResetError
            parts.append(self.data[:size])
            self.data = self.data[size + 2:]
