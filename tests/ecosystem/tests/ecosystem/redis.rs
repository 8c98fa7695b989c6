//! The crate `redis`, with a real server.

use std::io::{BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use grapeshot::net::UnixStream;
use redis::{Commands, ConnectionLike, Parser, RedisResult, Value};

/// A connection of ours.
struct Connection {
    stream: BufReader<UnixStream>,
    parser: Parser,
    /// An answer is missing, or a request was left in the middle: it is of no use any more.
    broken: bool,
}

impl ConnectionLike for Connection {
    fn req_packed_command(&mut self, command: &[u8]) -> RedisResult<Value> {
        let mut values = self.req_packed_commands(command, 0, 1)?;
        Ok(values.pop().unwrap_or(Value::Nil))
    }

    fn req_packed_commands(
        &mut self,
        commands: &[u8],
        offset: usize,
        count: usize,
    ) -> RedisResult<Vec<Value>> {
        // Stays so if this is unwound.
        self.broken = true;
        self.stream.get_mut().write_all(commands)?;
        for _ in 0..offset {
            self.parser.parse_value(&mut self.stream)?;
        }
        let values = (0..count).map(|_| self.parser.parse_value(&mut self.stream));
        let values = values.collect::<RedisResult<_>>()?;
        self.broken = false;
        Ok(values)
    }

    fn get_db(&self) -> i64 {
        0
    }

    fn check_connection(&mut self) -> bool {
        redis::cmd("PING").query::<String>(self).is_ok()
    }

    fn is_open(&self) -> bool {
        !self.broken
    }
}

/// Ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(super) fn connection_like() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("redis");
    let mut server = Command::new("redis-server");
    server.args([
        "--port",
        "0",
        "--save",
        "",
        "--appendonly",
        "no",
        "--unixsocket",
    ]);
    server
        .arg(&socket)
        .arg("--dir")
        .arg(folder.path())
        .stdout(Stdio::null());
    let _server = Server(
        server
            .spawn()
            .expect("redis-server (Debian's package redis-server) is there"),
    );
    // The caller's timeout bounds it.
    let stream = loop {
        match UnixStream::connect(&socket) {
            Ok(stream) => break stream,
            Err(_) => grapeshot::sleep(Duration::from_millis(10)),
        }
    };
    let mut redis = Connection {
        stream: BufReader::new(stream),
        parser: Parser::new(),
        broken: false,
    };
    assert!(redis.check_connection());
    let () = redis.set("ship", "Victory").expect("set");
    assert_eq!(redis.get::<_, String>("ship").expect("a value"), "Victory");
    let (count, ships): (i64, Vec<String>) = redis::pipe()
        .atomic()
        .rpush("fleet", &["Victory", "Temeraire"])
        .lrange("fleet", 0, -1)
        .query(&mut redis)
        .expect("a pipeline");
    assert_eq!(
        (count, ships),
        (2, vec!["Victory".into(), "Temeraire".into()])
    );
    // One waits for what another pushes, and only its coroutine is suspended.
    let waiting = UnixStream::connect(&socket).expect("it listens");
    let waiter = grapeshot::spawn(move || {
        let stream = BufReader::new(waiting);
        let mut redis = Connection {
            stream,
            parser: Parser::new(),
            broken: false,
        };
        redis
            .blpop::<_, (String, String)>("signals", 50.0)
            .expect("a signal")
    });
    let () = redis.rpush("signals", "England expects").expect("push");
    assert_eq!(waiter.join().expect("it ended").1, "England expects");
}
