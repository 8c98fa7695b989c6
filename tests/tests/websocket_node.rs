//! The WebSocket against `ws`, which most servers in JavaScript use (Debian's node-ws): its client, and its server.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use grapeshot::with_timeout;
use grapeshot_http::{HandlerError, Server};
use grapeshot_tests::serving::{Serving, echo};
use grapeshot_websocket::client::Connect;
use grapeshot_websocket::{CloseCode, Compression, Error, Message, Upgrade};

/// Nothing takes this long when it works.
const PATIENCE: Duration = Duration::from_secs(60);

/// Debian's Node.js with Debian's modules.
fn node(script: &str) -> Command {
    let mut command = Command::new("/usr/bin/node");
    command
        .env("NODE_PATH", "/usr/share/nodejs")
        .args(["-e", script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

/// Ends with the test.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a script against an echo of ours, which compresses below `/deflate`, and closes with 4001 at `/close`.
fn against(script: &str) {
    let server = Server::new(|request, response| -> Result<(), HandlerError> {
        let mut upgrade = Upgrade::new().protocols(["chat.v2", "chat.v1"]);
        if request.path() == "/deflate" {
            upgrade = upgrade.compression(Compression::new().takeover(true).threshold(0));
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
    let script = format!(
        "const {{ WebSocket }} = require('ws'), assert = require('assert');
         const late = setTimeout(() => {{ console.log('too late'); process.exit(1); }}, 60000);
         const open = (path, ...more) => new Promise((resolve, reject) => {{
           const ws = new WebSocket('ws://{address}' + path, ...more);
           ws.on('open', () => resolve(ws)); ws.on('error', reject);
         }});
         const next = ws => new Promise(resolve => ws.once('message', (data, binary) => resolve([data, binary])));
         const closed = ws => new Promise(resolve => ws.once('close', (code, reason) => resolve([code, String(reason)])));
         (async () => {{ {script} }})().then(
           () => {{ console.log('ok'); clearTimeout(late); }},
           error => {{ console.log(error); process.exit(1); }});"
    );
    let output = node(&script).output().expect("node is installed");
    let said = String::from_utf8_lossy(&output.stdout);
    drop(serving);
    assert!(output.status.success() && said.ends_with("ok\n"), "{said}");
}

#[test]
fn their_client_gets_back_what_it_sends() {
    against(
        "for (const path of ['/', '/deflate']) {
           const ws = await open(path, ['chat.v1', 'chat.v2']);
           // The server's wish counts.
           assert.equal(ws.protocol, 'chat.v2');
           assert.equal(ws.extensions.includes('permessage-deflate'), path == '/deflate');
           for (const length of [0, 1, 125, 126, 65535, 65536, 900000]) {
             const bytes = Buffer.alloc(length, 'grapeshot');
             ws.send(bytes);
             const [back, binary] = await next(ws);
             assert(binary && bytes.equals(back), String(length));
           }
           ws.send('grüß \\u{1F600}');
           const [text, binary] = await next(ws);
           assert(!binary && text.toString() == 'grüß \\u{1F600}');
           // In fragments, with a ping in between.
           const pong = new Promise(resolve => ws.once('pong', data => resolve(String(data))));
           ws.send('one ', { fin: false }); ws.ping('there?'); ws.send('two', { fin: true });
           assert.equal(String((await next(ws))[0]), 'one two');
           assert.equal(await pong, 'there?');
           const end = closed(ws);
           ws.close(1000, 'enough');
           assert.deepEqual(await end, [1000, 'enough']);
         }",
    );
}

#[test]
fn their_client_hears_why_it_is_closed() {
    against(
        "const ws = await open('/close');
         assert.deepEqual(await closed(ws), [4001, 'as you wish']);
         // A frame that nobody may send.
         const other = await open('/');
         const end = closed(other);
         other.on('error', () => {});
         other._socket.write(Buffer.from([0xf1, 0x80, 1, 2, 3, 4]));
         assert.equal((await end)[0], 1002);",
    );
}

#[test]
fn our_client_talks_to_their_server() {
    let script = "const { WebSocketServer } = require('ws');
        const options = { threshold: 0, serverMaxWindowBits: 10, clientMaxWindowBits: 10 };
        const deflates = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: options });
        const plain = new WebSocketServer({ host: '127.0.0.1', port: 0,
          handleProtocols: protocols => protocols.has('b') ? 'b' : false });
        for (const server of [deflates, plain]) server.on('connection', ws => {
          ws.on('message', (data, binary) => String(data) == 'go' ? ws.close(4002, 'gone') : ws.send(data, { binary }));
        });
        deflates.on('listening', () => plain.on('listening', () =>
          console.log(deflates.address().port + ' ' + plain.address().port)));";
    let mut server = Peer(node(script).spawn().expect("node is installed"));
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let ports: Vec<u16> = line
        .split(' ')
        .map(|port| port.trim().parse().unwrap())
        .collect();
    grapeshot::run(move || {
        with_timeout(PATIENCE, || {
            for (port, compresses) in [(ports[0], true), (ports[1], false)] {
                let wish = Compression::new().takeover(true).threshold(0);
                let connect = Connect::new().protocols(["a", "b"]).compression(wish);
                let socket = connect.open(&format!("ws://127.0.0.1:{port}/")).unwrap();
                assert_eq!(socket.compression().is_some(), compresses);
                assert_eq!(socket.protocol(), Some(if compresses { "a" } else { "b" }));
                for length in [0, 1, 125, 126, 65_535, 65_536, 900_000] {
                    let bytes: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
                    socket.send_binary(&bytes).unwrap();
                    assert!(socket.recv().unwrap() == Message::Binary(bytes), "{length}");
                }
                let text = "grüß \u{1F600} ".repeat(50);
                socket.send_text(&text).unwrap();
                assert_eq!(socket.recv().unwrap(), Message::Text(text));
                socket.ping(b"there?").unwrap();
                socket.send_text("go").unwrap();
                let Err(Error::Closed(end)) = socket.recv() else {
                    panic!("it closes");
                };
                assert!(format!("{end:?}").contains("4002"), "{end:?}");
            }
        })
        .expect("in time");
    });
}
