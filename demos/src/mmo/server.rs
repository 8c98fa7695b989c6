//! The page and its WebSocket: for each browser one coroutine that reads and one that writes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use grapeshot::sync::RateLimiter;
use grapeshot::{Builder, JoinHandle, with_timeout};
use grapeshot_http::{Assets, HandlerError, Request, Response, Server, Status};
use grapeshot_websocket::{CloseCode, Error as SocketError, Limits, Message, Upgrade, WebSocket};

use super::pulse::Pulses;
use super::seat::{Dismissal, Player, Seat};
use super::viewport::Viewport;
use super::wire::{self, Said};
use super::world::World;

/// Time between two updates of a viewport.
pub const TICK: Duration = Duration::from_millis(50);
/// A viewport that wakes so late leaves out its next update.
const BEHIND: Duration = Duration::from_millis(15);
/// A page says something every two seconds; one that has said nothing for so long is gone.
const SILENCE: Duration = Duration::from_secs(30);
/// How long a browser may take to agree to a close.
const CLOSE_WAIT: Duration = Duration::from_millis(300);
/// Messages a second that a browser may send in the long run, and at once.
const ALLOWANCE: (u32, u32) = (100, 200);
/// Names a player may take in a second, in the long run, and at once; each is told to all.
const RENAMES: (u32, u32) = (1, 5);

const ASSETS: [(&str, &[u8]); 5] = [
    ("/index.html", include_bytes!("../../assets/index.html")),
    ("/mmo.css", include_bytes!("../../assets/mmo.css")),
    ("/mmo.js", include_bytes!("../../assets/mmo.js")),
    ("/draw.js", include_bytes!("../../assets/draw.js")),
    ("/wire.js", include_bytes!("../../assets/wire.js")),
];

struct Site {
    world: Arc<World>,
    pulses: Arc<Pulses>,
    assets: Assets,
    upgrade: Upgrade,
    patience: Duration,
}

/// The demo's server: `/`, `/ws`, `/stats.json`. A browser that leaves what it is sent untaken for `patience` is dropped.
pub fn server(world: &Arc<World>, pulses: &Arc<Pulses>, patience: Duration) -> Server {
    let mut limits = Limits::default();
    limits.frame = wire::LONGEST_FROM_BROWSER as u64;
    limits.message = wire::LONGEST_FROM_BROWSER as u64;
    limits.write_wait = patience;
    limits.close_wait = CLOSE_WAIT;
    // A browser that says nothing for a while is dismissed, though it might answer pings.
    limits.ping_every = None;
    let site = Site {
        world: Arc::clone(world),
        pulses: Arc::clone(pulses),
        assets: Assets::new(&ASSETS),
        upgrade: Upgrade::new().limits(limits),
        patience,
    };
    Server::new(move |request, response| site.answer(request, response))
}

impl Site {
    fn answer(
        &self,
        request: &mut Request<'_>,
        response: Response<'_>,
    ) -> Result<(), HandlerError> {
        match request.path() {
            "/ws" => self.play(request, response),
            "/stats.json" => {
                let figures = serde_json::to_vec(&self.pulses.last().figures)?;
                let response = response
                    .header("Content-Type", "application/json")
                    .header("Cache-Control", "no-store");
                Ok(response.send(figures)?)
            }
            _ => Ok(self.assets.answer(request, response)?),
        }
    }

    /// Seats a browser, and reads what it says until it leaves. The coroutine that writes to it goes with it.
    fn play(&self, request: &mut Request<'_>, response: Response<'_>) -> Result<(), HandlerError> {
        let wanted = name_in(request.query());
        let (player, name) = match Player::join(&self.world, wanted.as_deref()) {
            Ok(joined) => joined,
            Err(full) => {
                return Ok(response
                    .status(Status::SERVICE_UNAVAILABLE)
                    .send_text(&format!("{full}\n"))?);
            }
        };
        let socket = Arc::new(self.upgrade.accept(request, response)?);
        let writer = self.write_to(&socket, &player.seat, name);
        let dismissal = listen(&self.world, &socket, &player.seat);
        if let Some(Dismissal { code, reason }) = dismissal {
            // Whether it agrees or not, it is gone after this.
            let _ = with_timeout(CLOSE_WAIT, || socket.close(close_code(code), &reason));
        }
        drop(player);
        socket.abort();
        writer.end();
        Ok(())
    }

    fn write_to(&self, socket: &Arc<WebSocket>, seat: &Arc<Seat>, name: String) -> Companion {
        let viewport = Viewport::new(&self.world, &self.pulses, seat);
        let (world, socket, seat) = (
            Arc::clone(&self.world),
            Arc::clone(socket),
            Arc::clone(seat),
        );
        let patience = self.patience;
        let coroutine = Builder::new()
            .name(format!("viewport-{}", seat.id.0 >> 1))
            .spawn(move || show(&world, &socket, &seat, viewport, &name, patience));
        Companion(Some(coroutine))
    }
}

/// A coroutine that ends with its owner.
struct Companion(Option<JoinHandle<()>>);

impl Companion {
    /// Ends it and waits for that. **May suspend.**
    fn end(mut self) {
        if let Some(coroutine) = self.0.take() {
            coroutine.interrupt();
            // Interrupted, as asked; a panic has been reported already.
            let _ = coroutine.join();
        }
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        if let Some(coroutine) = &self.0 {
            coroutine.interrupt();
        }
    }
}

/// Reads what a browser says. Gives the reason if it has to go, `None` if it went. **May suspend.**
fn listen(world: &World, socket: &WebSocket, seat: &Seat) -> Option<Dismissal> {
    let because = |code: CloseCode, reason: String| {
        Some(Dismissal {
            code: code.code(),
            reason,
        })
    };
    let allowance = a_second(ALLOWANCE);
    let renames = a_second(RENAMES);
    loop {
        let message = match with_timeout(SILENCE, || socket.recv()) {
            Ok(Ok(Message::Binary(message))) => message,
            Ok(Ok(Message::Text(_))) => {
                return because(CloseCode::UNSUPPORTED, "only binary messages".to_owned());
            }
            Ok(Err(error)) => {
                log::debug!("viewport-{}: {error}", seat.id.0 >> 1);
                return None;
            }
            Err(_) => {
                return because(
                    CloseCode::GOING_AWAY,
                    "nothing was heard for 30 s".to_owned(),
                );
            }
        };
        if !allowance.try_acquire() {
            return because(CloseCode::POLICY, "too many messages".to_owned());
        }
        match wire::hear(&message) {
            Ok(Said::View(view)) => seat.look(&view),
            Ok(Said::Ping(token)) => seat.ping(token),
            Ok(Said::Name(_)) if !renames.try_acquire() => {}
            Ok(Said::Name(name)) => {
                // A name of nothing visible leaves the old one.
                let _ = world.rename(seat, name);
            }
            Err(error) => return because(CloseCode::POLICY, error.to_string()),
        }
    }
}

/// Shows a browser its viewport, up to 20 times a second, until it leaves or has to. **May suspend.**
fn show(
    world: &World,
    socket: &WebSocket,
    seat: &Seat,
    mut viewport: Viewport,
    name: &str,
    patience: Duration,
) {
    let mut message = Vec::new();
    viewport.welcome(name, &mut message);
    let mut due = grapeshot::time::now();
    loop {
        if let Err(Dismissal { code, reason }) = viewport.compose(&mut message) {
            // Whether it agrees or not, the connection ends with this.
            let _ = with_timeout(CLOSE_WAIT, || socket.close(close_code(code), &reason));
            return socket.abort();
        }
        if !message.is_empty() {
            match with_timeout(patience, || socket.send_binary(&message)) {
                Ok(Ok(())) => {}
                Ok(Err(SocketError::WriteTimeout)) | Err(_) => {
                    world.traffic.shed.fetch_add(1, Ordering::Relaxed);
                    log::warn!("{name} did not take its updates for {patience:?} and was dropped");
                    return socket.abort();
                }
                Ok(Err(error)) => {
                    log::debug!("viewport-{}: {error}", seat.id.0 >> 1);
                    return socket.abort();
                }
            }
            world
                .traffic
                .bytes
                .fetch_add(message.len() as u64, Ordering::Relaxed);
            world.traffic.messages.fetch_add(1, Ordering::Relaxed);
            seat.sent(message.len());
            message.clear();
        }
        // A browser that took long gets the next update a tick after that, not several at once.
        due = (due + TICK).max(grapeshot::time::now());
        grapeshot::sleep_until(due);
        // A world that is behind sends fewer updates rather than all of them late.
        if grapeshot::time::now().saturating_duration_since(due) > BEHIND {
            due += TICK;
            grapeshot::sleep_until(due);
        }
    }
}

fn close_code(code: u16) -> CloseCode {
    CloseCode::new(code).unwrap_or(CloseCode::NORMAL)
}

/// The value of `name` in a query, percent-decoded.
fn name_in(query: Option<&str>) -> Option<String> {
    let value = query?
        .split('&')
        .find_map(|pair| pair.strip_prefix("name="))?;
    let spaced = value.replace('+', " ");
    Some(
        percent_encoding::percent_decode_str(&spaced)
            .decode_utf8_lossy()
            .into_owned(),
    )
}

/// So many a second in the long run, and so many at once.
fn a_second((rate, burst): (u32, u32)) -> RateLimiter {
    RateLimiter::new(rate, Duration::from_secs(1)).with_burst(burst)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_percent_encoded() {
        assert_eq!(
            name_in(Some("a=b&name=Ada+L%C3%B6we%21&x")).as_deref(),
            Some("Ada Löwe!")
        );
        assert_eq!(name_in(Some("named=x")), None);
        assert_eq!(name_in(None), None);
    }
}
