# SPDX-License-Identifier: Apache-2.0
"""The tasks behind HTTP: `python examples/everyday/serve.py --port 8000`, then

    curl localhost:8000/text-to-pose --data '{"text": "a person kneeling"}'
    curl localhost:8000/pose-editing --data '{"pose": [[0, 0, 0], ...], "text": "raise both arms"}'

A request is the dict that the pipeline takes, poses as 22 x 3 axis-angle numbers, pictures as URLs; so is the answer.
One request is answered after the other. There is no password: serve to this machine only, or behind a proxy.
"""

import argparse
import json
from http.server import BaseHTTPRequestHandler, HTTPServer

from transformers import Pipeline, pipeline

import unipose_hf


class Handler(BaseHTTPRequestHandler):
    tasks: dict[str, Pipeline] = {}

    def do_POST(self):
        task = self.path.strip("/")
        try:
            request = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            if task not in unipose_hf.TASKS:
                raise ValueError(f"There is no task {task!r}; ask for one of {', '.join(unipose_hf.TASKS)}.")
            if task not in self.tasks:
                self.tasks[task] = pipeline(task)
            status, answer = 200, self.tasks[task](request)
        except (ValueError, TypeError, KeyError, OSError) as error:
            status, answer = 400, {"error": str(error)}
        content = json.dumps(answer, default=lambda pose: pose.axis_angle.tolist()).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(content)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--port", type=int, default=8000)
    HTTPServer(("127.0.0.1", parser.parse_args().port), Handler).serve_forever()


if __name__ == "__main__":
    main()
