"""What people do with the demos, for as long as it runs: `chat HOST:PORT` or `share HOST:PORT`."""

import asyncio
import http.client
import random
import sys
import threading
import time

import websockets

VISITORS = 20


async def visitor(host, number):
    async with websockets.connect(f"ws://{host}/chat", max_queue=None) as socket:
        await socket.send(f"visitor {number}")

        async def listen():
            async for _ in socket:
                pass

        listening = asyncio.create_task(listen())
        while not listening.done():
            await socket.send("good wind, " + "and more of it " * random.randrange(20))
            await asyncio.sleep(random.uniform(0.1, 1.0))
        await listening


async def chat(host):
    await asyncio.gather(*(visitor(host, number) for number in range(VISITORS)))


def reader(host):
    """Looks at the page and the folder, and fetches what is there."""
    connection = http.client.HTTPConnection(host, timeout=60)
    while True:
        for path in ["/", "/files/", "/files/large.bin", "/files/small.txt"]:
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, (path, answer.status)
        time.sleep(random.uniform(0.01, 0.2))


def writer(host, number):
    """Drops a file, again and again."""
    connection = http.client.HTTPConnection(host, timeout=60)
    part = (
        "--line\r\nContent-Disposition: form-data; name=\"files\"; "
        f"filename=\"upload-{number}.bin\"\r\n\r\n"
    )
    while True:
        body = part.encode() + random.randbytes(random.randrange(1, 2_000_000)) + b"\r\n--line--\r\n"
        connection.request(
            "POST",
            f"/upload?size={len(body)}",
            body,
            {"Content-Type": "multipart/form-data; boundary=line"},
        )
        answer = connection.getresponse()
        answer.read()
        assert answer.status < 300, answer.status
        time.sleep(random.uniform(0.1, 1.0))


def share(host):
    def watched(work, *arguments):
        def run():
            try:
                work(*arguments)
            except BaseException as error:
                ended.append(error)

        threading.Thread(target=run, daemon=True).start()

    ended = []
    for _ in range(8):
        watched(reader, host)
    for number in range(4):
        watched(writer, host, number)
    while not ended:
        time.sleep(0.5)
    raise ended[0]


kind, host = sys.argv[1:]
if kind == "chat":
    asyncio.run(chat(host))
else:
    share(host)
