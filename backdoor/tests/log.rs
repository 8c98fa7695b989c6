//! What the log says of consoles: who came from where, asked what, and left.

mod network_support;

use std::io::Write;
use std::net::TcpStream;
use std::sync::Mutex;

use network_support::{Console, Telnet, eventually, patient, with_ship};

struct Log(Mutex<Vec<String>>);

static LOG: Log = Log(Mutex::new(Vec::new()));

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {}", record.level(), record.args());
        self.0.lock().unwrap().push(line);
    }

    fn flush(&self) {}
}

/// How many lines have this in them.
fn count(part: &str) -> usize {
    let log = LOG.0.lock().unwrap();
    log.iter().filter(|line| line.contains(part)).count()
}

/// The one test of its process, because a process has one logger.
#[test]
fn who_came_from_where_and_asked_what_is_logged() {
    log::set_logger(&LOG).unwrap();
    log::set_max_level(log::LevelFilter::Info);
    let mut from = Vec::new();
    with_ship("log", patient(), |ship| {
        let mut gone = Console::attach(ship, "bob", "hatch");
        gone.ask("knots()");
        let bob = format!("bob (tcp {})", gone.stream.local_addr().unwrap());
        drop(gone);
        let mut killed = Console::attach(ship, "ann", "sesame");
        killed.ask("\"one\" +\n\"two\" // INFO forged\x1b[2J");
        let ann = format!("ann (tcp {})", killed.stream.local_addr().unwrap());
        // Nobody operates unseen behind what is too long for the log.
        let blanks = " ".repeat(500);
        killed.ask(&format!(
            "{blanks}for n in 0..3 {{ try {{ crash() }} catch {{}} }}"
        ));
        killed.eval("kill(ps(\"console-session-\")[0].id, \"it \u{202e}hangs\")");
        while killed.receive().is_some() {}
        let mut guest = TcpStream::connect(ship.telnet).unwrap();
        guest.write_all(b"mallory\rguess\r").unwrap();
        std::io::copy(&mut guest, &mut std::io::sink()).unwrap();
        eventually("they left", || {
            [&bob, &ann]
                .iter()
                .all(|it| count(&format!("left: {it}")) == 1)
        });
        // These stay to the end.
        let stays = Telnet::attach(ship);
        let ann_stays = format!("ann (telnet {})", stays.0.local_addr().unwrap());
        from = vec![bob, ann, ann_stays];
        std::mem::forget(stays);
    });
    let [bob, ann, stays] = &from[..] else {
        unreachable!()
    };
    // The end of the backdoor waits for its logger, but not for long.
    eventually("the end", || {
        count(&format!("closed with the backdoor: {stays}")) == 1
    });
    let has = |part: &str| assert_eq!(count(part), 1, "{part}: {:#?}", LOG.0.lock().unwrap());
    has(&format!("attached: {bob}, may observe"));
    has(&format!("{bob}: \"knots()\""));
    has("WARN console session 3: telnet");
    has("failed to log in as \"mallory\"");
    has("closed with the backdoor");
    // A statement cannot forge a line.
    has(&format!("{ann}: \"\\\"one\\\" +\\n"));
    has(&format!("{ann} operates crash()"));
    has(r#"(console-session-2) to end, because "it \u{202e}hangs""#);
    let log = LOG.0.lock().unwrap();
    // The watchdog's lines are not the console's.
    let mut ours = log.iter().filter(|line| line.contains(" console"));
    assert!(!ours.any(|line| line.contains(['\n', '\x1b'])), "{log:#?}");
    // Nor do passwords stand there.
    let secrets = ["guess", "hatch", "sesame"];
    let told = |line: &&String| secrets.iter().any(|it| line.contains(it));
    assert_eq!(log.iter().find(told), None);
}
