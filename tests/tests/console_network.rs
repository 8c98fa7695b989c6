//! The program `console` over the network: TCP and TLS, with a login.

mod console_support;

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::thread::{self, JoinHandle};

use console_support::ship::Ship;
use console_support::{Terminal, console, errors};
use grapeshot_backdoor::protocol::{MAX_SERVER_MESSAGE, ServerMessage, encode};
use grapeshot_tls::demo::Authority;
use grapeshot_tls::server;

const CTRL_D: &str = "\x04";

/// `console` as ann, who knows this password.
fn ann(password: &str) -> Command {
    let mut command = console();
    command
        .env("GRAPESHOT_CONSOLE_USER", "ann")
        .env("GRAPESHOT_CONSOLE_PASSWORD", password);
    command
}

/// What a console that could not attach says.
fn complaint(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    errors(output)
}

#[test]
fn a_statement_is_asked_over_tcp() {
    let ship = Ship::with_tcp();
    let address = ship.at("tcp");
    for server in [address.as_str(), &address["tcp://".len()..]] {
        let output = ann("sesame")
            .args([server, "-c", "6 * 7"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(output.stdout, b"42\n");
    }
    let output = ann("sesame")
        .args([&address, "--json", "-c", "\"grüße\""])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "\"grüße\"\n");
}

#[test]
fn a_wrong_password_is_told() {
    let ship = Ship::with_tcp();
    let output = ann("Sesame")
        .args([&ship.at("tcp"), "-c", "1"])
        .output()
        .unwrap();
    assert_eq!(complaint(&output), "console: wrong user or password\n");
    assert!(output.stdout.is_empty());
    // One that the address names goes before the environment's.
    let server = ship.at("tcp").replace("//", "//bob@");
    let output = ann("sesame").args([&server, "-c", "1"]).output().unwrap();
    assert_eq!(complaint(&output), "console: wrong user or password\n");
}

#[test]
fn a_password_comes_from_a_file_that_others_cannot_read() {
    let ship = Ship::with_tcp();
    let file = ship.folder.file("password");
    std::fs::write(&file, "sesame\nnot this line\n").unwrap();
    let ask = || {
        console()
            .env_remove("GRAPESHOT_CONSOLE_PASSWORD")
            .args([
                &ship.at("tcp"),
                "--user",
                "ann",
                "-c",
                "1 + 1",
                "--password-file",
            ])
            .arg(&file)
            .output()
            .unwrap()
    };
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(complaint(&ask()).contains("chmod 600"));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(ask().stdout, b"2\n");
}

#[test]
fn what_is_missing_is_asked_for_and_a_password_is_not_shown() {
    let ship = Ship::with_tcp();
    let state = ship.folder.file("state");
    let mut command = console();
    command
        .arg(ship.at("tcp"))
        .env("XDG_STATE_HOME", state)
        .env_remove("GRAPESHOT_CONSOLE_USER")
        .env_remove("GRAPESHOT_CONSOLE_PASSWORD");
    let mut terminal = Terminal::run(&command, 100);
    terminal.wait_for("user at tcp://127.0.0.1:");
    // A slip is mended.
    terminal.press("anx\x7fn\r");
    terminal.wait_for("password of ann: ");
    terminal.press("wrong\x15sesame\r");
    terminal.wait_for("ship>");
    let shown = terminal.contents();
    assert!(
        !shown.contains("sesame") && !shown.contains("wrong"),
        "{shown}"
    );
    terminal.enter("20 + 1");
    terminal.wait_for("\n21\n");
    terminal.press(CTRL_D);
    assert!(terminal.ended().success());
    assert!(terminal.is_in_order());
}

#[test]
fn tls_carries_a_console_that_trusts_the_authority() {
    let authority = Authority::new().unwrap();
    let host = authority.host(["127.0.0.1"]).issue().unwrap();
    let config = server::Config::new(host.chain(), host.key()).unwrap();
    let ship = Ship::sail(|backdoor, folder| {
        std::fs::write(folder.file("ca.pem"), authority.certificate_pem()).unwrap();
        backdoor.tls("127.0.0.1:0", &config).tcp("127.0.0.1:0")
    });
    let ask = |server: &str, ca: Option<PathBuf>| {
        let mut command = ann("sesame");
        command.args([server, "-c", "6 * 7"]);
        if let Some(file) = ca {
            command.arg("--ca").arg(file);
        }
        command.output().unwrap()
    };
    let ca = || Some(ship.folder.file("ca.pem"));
    let output = ask(&ship.at("tls"), ca());
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, b"42\n");
    assert!(complaint(&ask(&ship.at("tls"), None)).contains("--ca FILE"));
    // Each at the other's port.
    let mixed = complaint(&ask(&ship.at("tls").replace("tls:", "tcp:"), None));
    assert!(mixed.contains("tls://"), "{mixed}");
    let mixed = complaint(&ask(&ship.at("tcp").replace("tcp:", "tls:"), ca()));
    assert!(mixed.contains("tcp://"), "{mixed}");
}

#[test]
fn strangers_that_never_shake_hands_keep_nobody_out() {
    let authority = Authority::new().unwrap();
    let host = authority.host(["127.0.0.1"]).issue().unwrap();
    let config = server::Config::new(host.chain(), host.key()).unwrap();
    let ship = Ship::sail(|backdoor, folder| {
        std::fs::write(folder.file("ca.pem"), authority.certificate_pem()).unwrap();
        backdoor.tls("127.0.0.1:0", &config)
    });
    let address = ship.at("tls");
    // More than there may be.
    let strangers: Vec<_> = (0..100)
        .map(|_| TcpStream::connect(&address["tls://".len()..]).unwrap())
        .collect();
    let output = ann("sesame")
        .args([&address, "-c", "6 * 7", "--ca"])
        .arg(ship.folder.file("ca.pem"))
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"42\n", "{output:?}");
    drop(strangers);
}

/// Answers the first connection with these bytes.
fn impostor(says: Vec<u8>) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(&says).unwrap();
        // Until the console has left.
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    (format!("tcp://{address}"), thread)
}

#[test]
fn a_server_that_does_not_know_the_password_is_found_out() {
    let says = [
        ServerMessage::Challenge {
            nonce: "00".repeat(32),
            salt: "00".repeat(16),
            rounds: 10_000,
        },
        ServerMessage::Welcome {
            proof: "00".repeat(32),
        },
    ];
    let says = says.map(|message| encode(&message, MAX_SERVER_MESSAGE).unwrap());
    let (address, thread) = impostor(says.concat());
    let output = ann("sesame").args([&address, "-c", "1"]).output().unwrap();
    assert!(complaint(&output).contains("does not know your password"));
    thread.join().unwrap();
}

#[test]
fn a_server_that_would_have_passwords_guessed_gets_no_proof() {
    let asks = ServerMessage::Challenge {
        nonce: "00".repeat(32),
        salt: "00".repeat(16),
        rounds: 1,
    };
    let (address, thread) = impostor(encode(&asks, MAX_SERVER_MESSAGE).unwrap());
    let output = ann("sesame").args([&address, "-c", "1"]).output().unwrap();
    assert!(complaint(&output).contains("give the password away"));
    thread.join().unwrap();
}

#[test]
fn what_is_no_backdoor_is_told() {
    let (address, thread) = impostor(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec());
    let output = ann("sesame").args([&address, "-c", "1"]).output().unwrap();
    assert!(complaint(&output).contains("not a backdoor of this version"));
    thread.join().unwrap();
    // Nobody listens at the port of tcpmux.
    let output = ann("sesame")
        .args(["tcp://127.0.0.1:1", "-c", "1"])
        .output()
        .unwrap();
    assert!(complaint(&output).contains("nobody listens at tcp://127.0.0.1:1"));
    let output = ann("sesame")
        .args(["http://127.0.0.1:1", "-c", "1"])
        .output()
        .unwrap();
    assert!(complaint(&output).contains("tcp://HOST:PORT"));
}
