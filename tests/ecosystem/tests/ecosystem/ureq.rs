//! The crate `ureq`.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::time::Duration;

use grapeshot::net::TcpStream;
use grapeshot::with_timeout;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};
use ureq::{Agent, Error};

use super::listen;

#[derive(Debug)]
struct OurConnector;

#[derive(Debug)]
struct OurTransport {
    stream: TcpStream,
    buffers: LazyBuffers,
}

impl Connector for OurConnector {
    type Out = OurTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<OurTransport>, Error> {
        let addrs: Vec<_> = details.addrs.iter().copied().collect();
        let stream = within(&details.timeout, || TcpStream::connect(&addrs[..]))?;
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Ok(Some(OurTransport { stream, buffers }))
    }
}

impl Transport for OurTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let output = &self.buffers.output()[..amount];
        within(&timeout, || (&self.stream).write_all(output))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let (mut stream, input) = (&self.stream, self.buffers.input_append_buf());
        let count = within(&timeout, || stream.read(input))?;
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    fn is_open(&mut self) -> bool {
        let nothing = self.stream.try_read(&mut [0]);
        nothing.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// ureq computes how long a call may take, and our timeout ends it.
fn within<T>(timeout: &NextTimeout, call: impl FnOnce() -> io::Result<T>) -> Result<T, Error> {
    let limit = timeout.not_zero();
    let limit = limit.map_or(Duration::MAX, |limit| *limit);
    match with_timeout(limit, call) {
        Ok(result) => Ok(result?),
        Err(_elapsed) => Err(Error::Timeout(timeout.reason)),
    }
}

pub(super) fn transport() {
    let (listener, addr) = listen();
    let server = grapeshot::spawn(move || {
        let (stream, _) = listener.accept().expect("a connection");
        let (mut reader, mut writer) = (BufReader::new(&stream), &stream);
        let mut line = String::new();
        let mut requests = Vec::new();
        while reader.read_line(&mut line).expect("a line") > 0 {
            if line.starts_with("GET ") {
                requests.push(line.trim_end().to_owned());
            }
            // To the last request there is no answer.
            if line == "\r\n" && requests.len() < 3 {
                writer
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nahoy")
                    .expect("an answer");
            }
            line.clear();
        }
        requests
    });
    let config = Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(2)))
        .build();
    let agent = Agent::with_parts(config, OurConnector, DefaultResolver::default());
    for _ in 0..2 {
        let mut answer = agent
            .get(format!("http://{addr}/ship"))
            .call()
            .expect("an answer");
        assert_eq!(answer.body_mut().read_to_string().expect("a body"), "ahoy");
    }
    let silence = agent.get(format!("http://{addr}/silence")).call();
    assert!(matches!(silence, Err(Error::Timeout(_))), "{silence:?}");
    drop(agent);
    // One connection, kept alive, was enough for all.
    let requests = server.join().expect("it ended");
    assert_eq!(
        requests,
        [
            "GET /ship HTTP/1.1",
            "GET /ship HTTP/1.1",
            "GET /silence HTTP/1.1"
        ]
    );
}
