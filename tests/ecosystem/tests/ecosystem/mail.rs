//! The crate `imap`.

use std::io::{BufRead, BufReader, Write};

use grapeshot::net::TcpStream;

use super::listen;

pub(super) fn session() {
    let (listener, addr) = listen();
    let server = grapeshot::spawn(move || {
        let (stream, _) = listener.accept().expect("a connection");
        let (mut reader, mut writer) = (BufReader::new(&stream), &stream);
        let mut commands = Vec::new();
        writer.write_all(b"* OK ready\r\n").expect("a greeting");
        let mut line = String::new();
        while reader.read_line(&mut line).expect("a line") > 0 {
            let (tag, command) = line.trim_end().split_once(' ').expect("a tag");
            let untagged = match command {
                "SELECT \"INBOX\"" => "* FLAGS (\\Seen)\r\n* 3 EXISTS\r\n* 1 RECENT\r\n",
                "LOGOUT" => "* BYE fair winds\r\n",
                _ => "",
            };
            write!(writer, "{untagged}{tag} OK done\r\n").expect("an answer");
            commands.push(command.to_owned());
            line.clear();
        }
        commands
    });
    let mut client = imap::Client::new(TcpStream::connect(addr).expect("it listens"));
    client.read_greeting().expect("a greeting");
    let mut session = client
        .login("nelson", "victory")
        .map_err(|(error, _)| error)
        .expect("a login");
    let inbox = session.select("INBOX").expect("an inbox");
    assert_eq!((inbox.exists, inbox.recent), (3, 1));
    session.logout().expect("a good-bye");
    drop(session);
    let commands = server.join().expect("it ended");
    assert_eq!(
        commands,
        ["LOGIN \"nelson\" \"victory\"", "SELECT \"INBOX\"", "LOGOUT"]
    );
}
