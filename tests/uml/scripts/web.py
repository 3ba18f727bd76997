"""A web server and a client by the loopback device: many requests at a time, each answer complete."""
import hashlib, http.server, threading, urllib.request

body = bytes(range(256)) * 1000


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = "http://127.0.0.1:%d/" % server.server_port
good = []


def client():
    for _ in range(10):
        good.append(urllib.request.urlopen(url).read() == body)


threads = [threading.Thread(target=client) for _ in range(5)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(sum(good), "answers")
