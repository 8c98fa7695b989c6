//! The WebSocket server against Python's `websockets` (Debian's python3-websockets).

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use grapeshot_http::{HandlerError, Server};
use grapeshot_tests::serving::{Serving, echo};
use grapeshot_websocket::client::Connect;
use grapeshot_websocket::{CloseCode, Compression, Limits, Message, Upgrade};

/// Serves `/echo`, `/close`, `/small` (messages of 1,000 bytes at most), `/chat` and three ways to compress while a script runs against it.
fn against(script: &str) -> Output {
    let server = Server::new(|request, response| -> Result<(), HandlerError> {
        let mut limits = Limits::default();
        if request.path() == "/small" {
            limits.message = 1000;
        }
        let mut upgrade = Upgrade::new()
            .protocols(["chat.v2", "chat.v1"])
            .limits(limits);
        match request.path() {
            "/light" => upgrade = upgrade.compression(Compression::new()),
            "/deflate" => upgrade = upgrade.compression(Compression::new().takeover(true)),
            "/small-windows" => {
                let wish = Compression::new().takeover(true).window_bits(9);
                upgrade = upgrade.compression(wish);
            }
            _ => {}
        }
        let closes = request.path() == "/close";
        let socket = upgrade.accept(request, response)?;
        if closes {
            return Ok(socket.close(CloseCode::new(4001).unwrap(), "as you wish")?);
        }
        echo(&socket)
    });
    let serving = Serving::new(server);
    let address = serving.address;
    let frame = format!(
        "import asyncio, websockets\nfrom websockets.exceptions import *\nURL = 'ws://{address}'\n\
         async def main():\n{}\nasyncio.run(asyncio.wait_for(main(), 60))\nprint('ok')\n",
        script
            .lines()
            .map(|line| format!("    {line}\n"))
            .collect::<String>()
    );
    // Debian's own interpreter, which has Debian's packages.
    let output = Command::new("/usr/bin/python3")
        .args(["-c", &frame])
        .output()
        .expect("python3 is installed");
    // However its peers have ended, the server is rid of them.
    let began = Instant::now();
    while serving.server.statistics().connections > 0 {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "{:?}",
            serving.server.statistics()
        );
        std::thread::yield_now();
    }
    output
}

#[track_caller]
fn passes(script: &str) {
    let output = against(script);
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success() && out.ends_with("ok\n"),
        "{out}{err}"
    );
}

#[test]
fn messages_of_every_length_form_come_back() {
    passes(
        "async with websockets.connect(URL + '/echo', max_size=None, compression=None) as ws:
    for n in [0, 1, 125, 126, 127, 4096, 65535, 65536, 900000]:
        data = bytes(i % 251 for i in range(n))
        await ws.send(data)
        assert await ws.recv() == data, n
    await ws.send('gr\\u00fc\\u00df \\U0001f600')
    assert await ws.recv() == 'gr\\u00fc\\u00df \\U0001f600'
assert ws.close_code == 1000, ws.close_code",
    );
}

#[test]
fn an_extension_that_is_offered_is_not_taken() {
    // By default this client offers permessage-deflate.
    passes(
        "async with websockets.connect(URL + '/echo') as ws:
    await ws.send('x' * 5000)
    assert await ws.recv() == 'x' * 5000
    assert ws.extensions == [], ws.extensions",
    );
}

#[test]
fn fragments_and_pings_between_them() {
    passes(
        "async with websockets.connect(URL + '/echo') as ws:
    async def parts():
        for part in ['a', '\\u20ac', '', 'c']:
            yield part
            await (await ws.ping())
    await ws.send(parts())
    assert await ws.recv() == 'a\\u20acc'
    await asyncio.gather(*[await ws.ping(str(i)) for i in range(1)])",
    );
}

#[test]
fn the_server_closes_with_its_code() {
    passes(
        "async with websockets.connect(URL + '/close') as ws:
    try:
        await ws.recv()
        assert False
    except ConnectionClosed as error:
        assert (error.rcvd.code, error.rcvd.reason) == (4001, 'as you wish'), error
        assert error.rcvd_then_sent",
    );
}

#[test]
fn violations_are_answered_with_their_codes() {
    passes(
        "async def told(path, act):
    async with websockets.connect(URL + path, compression=None) as ws:
        await act(ws)
        try:
            while True:
                await ws.recv()
        except ConnectionClosed as error:
            return error.rcvd and error.rcvd.code
async def raw(data):
    async def act(ws):
        ws.transport.write(data)
    return await told('/echo', act)
assert await told('/small', lambda ws: ws.send('x' * 1001)) == 1009
assert await told('/small', lambda ws: ws.send(b'x' * 300000)) == 1009
assert await raw(b'\\x81\\x81\\0\\0\\0\\0\\xff') == 1007
assert await raw(b'\\x81\\x01x') == 1002
assert await raw(b'\\xf1\\x80\\0\\0\\0\\0') == 1002
assert await raw(b'\\x83\\x80\\0\\0\\0\\0') == 1002
assert await raw(b'\\x09\\x80\\0\\0\\0\\0') == 1002
assert await raw(b'\\x80\\x80\\0\\0\\0\\0') == 1002",
    );
}

#[test]
fn subprotocols_and_origins() {
    passes(
        "async with websockets.connect(URL + '/chat', subprotocols=['chat.v1', 'chat.v2']) as ws:
    assert ws.subprotocol == 'chat.v2', ws.subprotocol
async with websockets.connect(URL + '/chat', subprotocols=['other']) as ws:
    assert ws.subprotocol is None
async with websockets.connect(URL + '/chat', origin=URL.replace('ws:', 'http:')):
    pass
try:
    async with websockets.connect(URL + '/chat', origin='http://evil.example'):
        assert False
except InvalidStatusCode as error:
    assert error.status_code == 403, error",
    );
}

#[test]
fn many_clients_at_once() {
    passes(
        "async def one(n):
    async with websockets.connect(URL + '/echo') as ws:
        for i in range(20):
            await ws.send(f'{n} {i}')
        for i in range(20):
            assert await ws.recv() == f'{n} {i}'
await asyncio.gather(*[one(n) for n in range(50)])",
    );
}

#[test]
fn a_peer_that_is_killed_in_the_middle_of_a_frame_is_let_go() {
    let output = against(
        "import os, signal
ws = await websockets.connect(URL + '/echo', compression=None)
idle = await websockets.connect(URL + '/echo')
await ws.send('whole')
assert await ws.recv() == 'whole'
ws.transport.write(b'\\x82\\xfe\\x03\\xe8\\0\\0\\0\\0only the beginning')
print('now', flush=True)
os.kill(os.getpid(), signal.SIGKILL)",
    );
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "now\n",
        "{output:?}"
    );
    assert!(output.status.code().is_none(), "it was killed");
}

#[test]
fn compressed_messages_of_a_client() {
    passes(
        "from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory as Deflate
texts = ['', 'x', 'grapeshot ' * 1000, '\\u20ac' * 5000] + ['{\"id\": %d, \"name\": \"same\"}' % i * 9 for i in range(10)]
blocks = [bytes(i * i % 251 for i in range(n)) for n in [1, 4096, 70000]]
for path in ['/light', '/deflate', '/small-windows']:
    for offer in [Deflate(), Deflate(client_max_window_bits=True), Deflate(True, True, 10, 10), Deflate(server_max_window_bits=9, client_max_window_bits=9)]:
        async with websockets.connect(URL + path, max_size=None, compression=None, extensions=[offer]) as ws:
            assert len(ws.extensions) == 1, (path, offer)
            for text in texts:
                await ws.send(text)
                assert await ws.recv() == text, (path, offer)
            for data in blocks:
                await ws.send(data)
                assert await ws.recv() == data, (path, offer, len(data))
        assert ws.close_code == 1000, ws.close_code",
    );
}

/// Our client talks to an echo of Python's that compresses as `factory` says.
fn with_their_server(factory: &str, connect: &Connect) {
    let script = format!(
        "import asyncio, websockets
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory as Deflate
async def echo(ws):
    async for message in ws:
        await ws.send(message)
async def main():
    async with websockets.serve(echo, '127.0.0.1', 0, compression=None, extensions=[{factory}]) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.sleep(60)
asyncio.run(main())"
    );
    let mut child = Command::new("/usr/bin/python3")
        .args(["-c", &script])
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is installed");
    let mut port = String::new();
    BufReader::new(child.stdout.take().expect("it is piped"))
        .read_line(&mut port)
        .expect("it says its port");
    let connect = connect.clone();
    let talk = move || {
        let socket = connect
            .open(&format!("ws://127.0.0.1:{}/", port.trim()))
            .unwrap();
        let agreed = socket.compression();
        for n in 0..20 {
            let text = format!("{{\"id\": {n}, \"name\": \"same\"}}").repeat(n);
            socket.send_text(&text).unwrap();
            assert_eq!(socket.recv().unwrap(), Message::Text(text));
        }
        let bytes: Vec<u8> = (0..70_000u64).map(|n| (n * n % 251) as u8).collect();
        socket.send_binary(&bytes).unwrap();
        assert_eq!(socket.recv().unwrap(), Message::Binary(bytes));
        socket.ping(b"there?").unwrap();
        socket.close(CloseCode::NORMAL, "enough").unwrap();
        agreed
    };
    let agreed = std::panic::catch_unwind(move || grapeshot::run(talk));
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    assert!(agreed.expect("they understand each other").is_some());
}

#[test]
fn our_client_and_their_server_compress() {
    let keep = Compression::new().takeover(true).threshold(0);
    with_their_server("Deflate()", &Connect::new().compression(keep.clone()));
    with_their_server("Deflate()", &Connect::new().compression(Compression::new()));
    with_their_server(
        "Deflate(True, True, 9, 9)",
        &Connect::new().compression(keep.clone()),
    );
    with_their_server(
        "Deflate()",
        &Connect::new().compression(keep.window_bits(9)),
    );
}
