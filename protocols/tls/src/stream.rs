//! The stream: one coroutine reads it while another writes.
//!
//! ```text
//!             reader                                writer
//!   turn:  Mutex<Incoming>                       Mutex<Outgoing>       held while the carrier is waited for
//!                 └── feed, read ── Session ── write, take_wire ──┘    locked for moments, never across a wait
//! ```
//! The reader waits in the carrier with nothing but its own turn, so a writer is never kept out, and the other way
//! round. The handshake takes both turns, the reader's first. What a reader causes to be sent (an answer to a new key,
//! an alert) goes out without waiting, or with the next write.

use std::any::{Any, TypeId};
use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use grapeshot::net::{Shutdown, Stream};
use grapeshot::sync::{Mutex, MutexGuard};
use grapeshot::with_timeout;
use parking_lot::Mutex as Moment;

use crate::halves::{Incoming, Outgoing};
use crate::info::Info;
use crate::session::{Plain, Session};
use crate::{Error, client, server};

/// How much one write encrypts at most: a few records, sent with one system call.
const MOST: usize = 64 << 10;

/// A TLS connection over a carrier `S`: itself a [`Stream`], so whatever runs over TCP runs over it.
///
/// One coroutine may read while another writes. The handshake is done by [`prepare`](Stream::prepare), or by the first
/// read or write. Made by [`server`](TlsStream::server) and [`client`](TlsStream::client), by a
/// [`Listener`](crate::Listener) or a [`Connector`](crate::Connector).
///
/// # The end
/// [`shutdown`](Stream::shutdown) of the writing side (and [`close`](TlsStream::close), which waits until it is sent)
/// says close_notify. A read gives 0 after the peer's. If the peer's connection ends without one, a read fails with
/// [`Error::Truncated`], because an attacker can end a connection early; protocols whose messages say their length may
/// ignore that. A stream that is merely dropped says nothing: it may be unwinding in the middle of an answer, which the
/// peer must not take for a whole one.
///
/// # Left in the middle
/// A read that is left by unwinding (a timeout, an interrupt) has taken nothing: the next one goes on. A write or a
/// handshake that is left so poisons the stream: every further write fails with [`Error::Poisoned`].
pub struct TlsStream<S> {
    carrier: S,
    role: Role,
    /// The handshake is done.
    ready: AtomicBool,
    /// This side has ended its reading: the carrier's end is no truncation.
    deaf: AtomicBool,
    /// The writing side is to end; whoever has the turn does it when it lets go.
    end_wanted: AtomicBool,
    incoming: Mutex<Incoming>,
    outgoing: Mutex<Outgoing>,
    session: Moment<Box<dyn Session>>,
    /// What was agreed on, once somebody wanted to share it.
    agreed: OnceLock<Arc<Info>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Client,
    Server { answer_plain_http: bool },
}

impl<S: Stream> TlsStream<S> {
    /// The server's side over `carrier`, which may have been used already (STARTTLS): `received` is what was read from
    /// it beyond the client's last plain word. Empty, if nothing was. The handshake is not done yet.
    ///
    /// Before a plain protocol goes over to TLS it must throw away what the client sent behind its `STARTTLS` in the
    /// clear, and not take it as commands; hand it in here only if the client may begin the handshake unasked.
    ///
    /// # Errors
    /// The configuration is of no use.
    pub fn server(carrier: S, config: &server::Config, received: Vec<u8>) -> io::Result<Self> {
        let role = Role::Server {
            answer_plain_http: config.answers_plain_http(),
        };
        Ok(Self::new(carrier, role, config.session()?, received))
    }

    /// The client's side over `carrier`, towards the server called `name` (a DNS name or an IP address), which its
    /// certificate must be for. As for a [`server`](TlsStream::server), `received` is what was read already. The
    /// handshake is not done yet.
    ///
    /// # Errors
    /// `name` is neither a DNS name nor an address, or the configuration is of no use.
    pub fn client(
        carrier: S,
        config: &client::Config,
        name: &str,
        received: Vec<u8>,
    ) -> io::Result<Self> {
        Ok(Self::new(
            carrier,
            Role::Client,
            config.session(name)?,
            received,
        ))
    }

    fn new(carrier: S, role: Role, session: Box<dyn Session>, received: Vec<u8>) -> Self {
        Self {
            carrier,
            role,
            ready: AtomicBool::new(false),
            deaf: AtomicBool::new(false),
            end_wanted: AtomicBool::new(false),
            incoming: Mutex::new(Incoming::after(received)),
            outgoing: Mutex::new(Outgoing::default()),
            session: Moment::new(session),
            agreed: OnceLock::new(),
        }
    }

    /// What was agreed on and who the peer is; before the handshake is done, nothing. Does not suspend.
    #[must_use]
    pub fn info(&self) -> Info {
        if self.ready.load(Ordering::Acquire) {
            self.session.lock().info()
        } else {
            Info::default()
        }
    }

    /// What carries it. Reading or writing that breaks the connection.
    pub fn carrier(&self) -> &S {
        &self.carrier
    }

    /// Says close_notify, waits until it is sent, and ends the carrier's writing side. The peer may still send; read on
    /// if that matters. Called again, it does nothing. **May suspend.**
    ///
    /// # Errors
    /// Those of the carrier; [`Error::Poisoned`] if a write was left in the middle.
    pub fn close(&self) -> io::Result<()> {
        let mut outgoing = turn(&self.outgoing)?;
        self.say_good_bye(&mut outgoing);
        let sent = outgoing.send(&self.carrier);
        outgoing.shut_if_due(&self.carrier)?;
        sent
    }

    /// Does the handshake, with both turns. **May suspend.**
    fn shake_hands(&self) -> io::Result<()> {
        let mut incoming = turn(&self.incoming)?;
        let mut outgoing = turn(&self.outgoing)?;
        if self.ready.load(Ordering::Acquire) {
            return Ok(());
        }
        outgoing.refusal()?;
        let result = self.exchange_hellos(&mut incoming, &mut outgoing);
        if result.is_err() {
            outgoing.poisoned = true;
        }
        result?;
        self.ready.store(true, Ordering::Release);
        self.let_go(outgoing);
        Ok(())
    }

    fn exchange_hellos(&self, incoming: &mut Incoming, outgoing: &mut Outgoing) -> io::Result<()> {
        let mut first = true;
        loop {
            let step = {
                let mut session = self.session.lock();
                let step = feed(&mut **session, incoming, |session| {
                    !session.is_handshaking()
                });
                session.take_wire(&mut outgoing.wire);
                step
            };
            if let Err(error) = step {
                // Tells the peer why, if it can be done at once.
                let _ = outgoing.try_send(&self.carrier);
                return Err(error.into());
            }
            outgoing.send(&self.carrier)?;
            if step == Ok(true) {
                return Ok(());
            }
            // Left from here on, by unwinding too, the handshake is half done.
            outgoing.poisoned = true;
            if !incoming.receive(&self.carrier)? {
                return Err(Error::HandshakeTruncated.into());
            }
            if std::mem::take(&mut first) {
                self.refuse_plain_http(incoming.pending())?;
            }
            outgoing.poisoned = false;
        }
    }

    /// Answers a client that speaks HTTP in the clear in its own words, as it shows those to its user.
    fn refuse_plain_http(&self, received: &[u8]) -> io::Result<()> {
        const METHODS: [&[u8]; 8] = [
            b"GET ", b"HEAD", b"POST", b"PUT ", b"DELE", b"OPTI", b"PATC", b"CONN",
        ];
        const ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\
            Content-Length: 64\r\nConnection: close\r\n\r\n\
            This port speaks HTTPS: use a URL that begins with https://...\r\n";
        if self.role == Role::Client || !METHODS.iter().any(|m| received.starts_with(m)) {
            return Ok(());
        }
        if self.role
            == (Role::Server {
                answer_plain_http: true,
            })
        {
            let _ = self.carrier.try_write(ANSWER);
            let _ = self.carrier.shutdown(Shutdown::Write);
            self.read_away();
        }
        Err(Error::PlainHttp.into())
    }

    /// Closing with bytes unread would reset the connection, and the client's kernel throw the answer away. **May
    /// suspend**, for a second at most.
    fn read_away(&self) {
        let _ = with_timeout(Duration::from_secs(1), || {
            let mut sink = [0; 1_024];
            for _ in 0..64 {
                if !matches!(self.carrier.read(&mut sink), Ok(count) if count > 0) {
                    return;
                }
            }
        });
    }

    fn encrypt(&self, outgoing: &mut Outgoing, slices: &[IoSlice<'_>]) -> Result<usize, Error> {
        outgoing.refusal()?;
        let mut session = self.session.lock();
        let count = session.write(slices)?;
        session.take_wire(&mut outgoing.wire);
        Ok(count)
    }

    /// Writes one buffer or several. **May suspend.**
    fn write_slices(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Stream::prepare(self)?;
        if slices.is_empty() {
            return Ok(0);
        }
        let mut outgoing = turn(&self.outgoing)?;
        outgoing.refusal()?;
        // What a reader could not send without waiting goes first.
        outgoing.send(&self.carrier)?;
        let count = self.encrypt(&mut outgoing, slices)?;
        outgoing.send(&self.carrier)?;
        self.let_go(outgoing);
        Ok(count)
    }

    /// Sends what the reader has caused, unless somebody else is writing, who will do it.
    fn send_for_reader(&self) -> io::Result<()> {
        let Some(mut outgoing) = self.outgoing.try_lock() else {
            return Ok(());
        };
        if !outgoing.ended && !outgoing.poisoned {
            self.session.lock().take_wire(&mut outgoing.wire);
        }
        if outgoing.is_empty() {
            return Ok(());
        }
        if outgoing.try_send(&self.carrier)? {
            outgoing.send(&self.carrier)?;
            outgoing.shut_if_due(&self.carrier)?;
        }
        self.let_go(outgoing);
        Ok(())
    }

    /// Ends the turn. Whoever wanted the writing side to end meanwhile could not do it.
    fn let_go(&self, outgoing: MutexGuard<'_, Outgoing>) {
        drop(outgoing);
        if self.end_wanted.load(Ordering::SeqCst) {
            let _ = self.end_writing();
        }
    }

    fn end_writing(&self) -> io::Result<()> {
        self.end_wanted.store(true, Ordering::SeqCst);
        // If somebody has the turn, it sees the wish when it lets go.
        while let Some(mut outgoing) = self.outgoing.try_lock() {
            if outgoing.ended {
                return Ok(());
            }
            self.say_good_bye(&mut outgoing);
            outgoing.try_send(&self.carrier)?;
        }
        Ok(())
    }

    /// Puts close_notify behind what is to be sent.
    fn say_good_bye(&self, outgoing: &mut Outgoing) {
        if !std::mem::replace(&mut outgoing.ended, true) && !outgoing.poisoned {
            let mut session = self.session.lock();
            session.close();
            session.take_wire(&mut outgoing.wire);
        }
    }
}

/// Feeds what is pending until `enough`; gives whether it is.
fn feed(
    session: &mut dyn Session,
    incoming: &mut Incoming,
    enough: impl Fn(&mut dyn Session) -> bool,
) -> Result<bool, Error> {
    loop {
        if enough(session) {
            return Ok(true);
        }
        if incoming.pending().is_empty() {
            return Ok(false);
        }
        let count = session.feed(incoming.pending())?;
        incoming.consume(count);
    }
}

/// Waits for a turn. **May suspend.**
fn turn<T>(turn: &Mutex<T>) -> io::Result<MutexGuard<'_, T>> {
    match turn.try_lock() {
        Some(guard) => Ok(guard),
        None if std::thread::panicking() => Err(Error::Unwinding.into()),
        None => Ok(turn.lock()),
    }
}

impl<S: Stream> Stream for TlsStream<S> {
    /// Does the handshake. **May suspend.**
    fn prepare(&self) -> io::Result<()> {
        if self.ready.load(Ordering::Acquire) {
            return Ok(());
        }
        self.shake_hands()
    }

    fn peer(&self) -> Option<grapeshot::net::Peer> {
        self.carrier.peer()
    }

    /// Knows its [`Info`], once the handshake is done.
    fn extension(&self, wanted: TypeId) -> Option<Arc<dyn Any + Send + Sync>> {
        if wanted != TypeId::of::<Info>() {
            return self.carrier.extension(wanted);
        }
        if !self.ready.load(Ordering::Acquire) {
            return None;
        }
        let info = self.agreed.get_or_init(|| Arc::new(self.info()));
        Some(Arc::clone(info) as _)
    }

    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Stream::prepare(self)?;
        if buffer.is_empty() {
            return Ok(0);
        }
        let mut incoming = turn(&self.incoming)?;
        loop {
            if let Some(count) = self.decrypt(&mut incoming, buffer)? {
                return Ok(count);
            }
            if self.deaf.load(Ordering::SeqCst) {
                return Ok(0);
            }
            self.send_for_reader()?;
            if !incoming.receive(&self.carrier)? && !self.deaf.load(Ordering::SeqCst) {
                return Err(Error::Truncated.into());
            }
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let bytes = &bytes[..bytes.len().min(MOST)];
        if bytes.is_empty() {
            return self.write_slices(&[]);
        }
        self.write_slices(&[IoSlice::new(bytes)])
    }

    /// Small slices go into one record together.
    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut room = MOST;
        let mut chosen: [IoSlice<'_>; 16] = [IoSlice::new(&[]); 16];
        let mut count = 0;
        for slice in slices.iter().filter(|slice| !slice.is_empty()) {
            if room == 0 || count == chosen.len() {
                break;
            }
            let part = &slice[..slice.len().min(room)];
            chosen[count] = IoSlice::new(part);
            count += 1;
            room -= part.len();
        }
        self.write_slices(&chosen[..count])
    }

    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.ready.load(Ordering::Acquire) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let Some(mut incoming) = self.incoming.try_lock() else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        loop {
            if let Some(count) = self.decrypt(&mut incoming, buffer)? {
                return Ok(count);
            }
            if !incoming.try_receive(&self.carrier)? && !self.deaf.load(Ordering::SeqCst) {
                return Err(Error::Truncated.into());
            }
        }
    }

    /// Of the writing side it says close_notify first. If that cannot be sent at once it goes out with the next read or
    /// write; [`close`](TlsStream::close) waits for it.
    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if how == Shutdown::Write {
            return self.end_writing();
        }
        self.deaf.store(true, Ordering::SeqCst);
        if how == Shutdown::Both {
            let _ = self.end_writing();
        }
        self.carrier.shutdown(how)
    }

    fn reset_on_close(&self) {
        self.carrier.reset_on_close();
    }

    fn limit_unsent(&self, bytes: usize) {
        self.carrier.limit_unsent(bytes);
    }
}

impl<S: Stream> TlsStream<S> {
    /// Plaintext from what has come; 0 at the peer's close_notify, `None` if more must come.
    fn decrypt(&self, incoming: &mut Incoming, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        if let Some(error) = &incoming.failed {
            return Err(error.clone().into());
        }
        let mut session = self.session.lock();
        loop {
            match session.read(buffer)? {
                Plain::Bytes(count) => return Ok(Some(count)),
                Plain::Ended => return Ok(Some(0)),
                Plain::Nothing if incoming.pending().is_empty() => return Ok(None),
                Plain::Nothing => {}
            }
            match session.feed(incoming.pending()) {
                Ok(count) => incoming.consume(count),
                Err(error) => {
                    drop(session);
                    // The alert that tells the peer.
                    let _ = self.send_for_reader();
                    incoming.failed = Some(error.clone());
                    return Err(error.into());
                }
            }
        }
    }
}

/// Reading **may suspend**.
impl<S: Stream> Read for &TlsStream<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Stream::read(*self, buffer)
    }
}

/// Reading **may suspend**.
impl<S: Stream> Read for TlsStream<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Stream::read(self, buffer)
    }
}

/// Writing **may suspend**.
impl<S: Stream> Write for &TlsStream<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Stream::write(*self, bytes)
    }
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Stream::write_vectored(*self, slices)
    }
    /// Does nothing: what is written is sent.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writing **may suspend**.
impl<S: Stream> Write for TlsStream<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Stream::write(self, bytes)
    }
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Stream::write_vectored(self, slices)
    }
    /// Does nothing: what is written is sent.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<S: fmt::Debug> fmt::Debug for TlsStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream")
            .field("carrier", &self.carrier)
            .field("role", &self.role)
            .field("ready", &self.ready)
            .finish_non_exhaustive()
    }
}
