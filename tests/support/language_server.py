# SPDX-License-Identifier: Apache-2.0
"""A mock language model server with configurable faults."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    """An OpenAI-compatible server whose every answer is the next of a script, the last one for ever."""

    def __init__(self, *script):
        self.script, self.calls, self.lock = list(script), [], threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with outer.lock:
                    outer.calls.append((self.path, self.headers, body))
                    step = outer.script.pop(0) if len(outer.script) > 1 else outer.script[0]
                outer.play(self, step(body) if callable(step) else step)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.stopped = threading.Event()
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @staticmethod
    def play(handler, step):
        if step == "stall":
            handler.server.stopped.wait(5)  # longer than the client's timeout, but not longer than the test
            return
        if step == "hang up":
            handler.connection.close()
            return
        status, body = (step, {"error": "no"}) if isinstance(step, int) else (200, step)
        if isinstance(body, str):
            choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": body}}
            body = {"id": "1", "created": 0, "model": "m", "choices": [choice], "object": "chat.completion"}
            body |= {
                "system_fingerprint": "",
                "usage": {"completion_tokens": 1, "prompt_tokens": 1, "total_tokens": 2},
            }
        content = json.dumps(body).encode()
        handler.send_response(status)
        if status == 429:
            handler.send_header("Retry-After", "0.01")
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    def close(self):
        self.http.stopped.set()
        self.http.shutdown()
        self.http.server_close()
