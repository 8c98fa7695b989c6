//! Who logs in, and the password: from a file, from the environment, or typed without an echo.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::termios::{self, LocalModes, OptionalActions, SpecialCodeIndex, Termios};

use crate::connection::Lost;

/// The environment's names for both.
const USER: &str = "GRAPESHOT_CONSOLE_USER";
const PASSWORD: &str = "GRAPESHOT_CONSOLE_PASSWORD";

/// What a login takes.
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) password: String,
}

/// What is known before anybody is asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    user: Option<String>,
    password: Option<String>,
}

impl Known {
    /// The user is named or in the environment, the password in `file` or in the environment.
    pub(crate) fn gather(user: Option<&str>, file: Option<&Path>) -> Result<Self, Lost> {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Ok(Self {
            user: user.map(str::to_owned).or_else(|| set(USER)),
            password: match file {
                Some(file) => Some(password_in(file)?),
                None => set(PASSWORD),
            },
        })
    }

    /// Both, if nobody has to be asked.
    pub(crate) fn complete(&self) -> Option<Credentials> {
        Some(Credentials {
            user: self.user.clone()?,
            password: self.password.clone()?,
        })
    }

    /// Asks for what is missing, at the terminal that the program was started from.
    pub(crate) fn ask(&self, server: &str) -> Result<Credentials, Lost> {
        let mut terminal = Terminal::open().map_err(|error| {
            Lost::new(format!(
                "{server} wants a login, and there is no terminal to ask at ({error}): set {USER} and {PASSWORD}, or give \
                 --user NAME and --password-file FILE"
            ))
        })?;
        let mut asked = |prompt: &str, echo| match terminal.ask(prompt, echo) {
            Ok(Some(line)) => Ok(line),
            Ok(None) => Err(Lost::new("interrupted".into())),
            Err(error) => Err(Lost::new(format!("cannot read from the terminal: {error}"))),
        };
        let user = match &self.user {
            Some(user) => user.clone(),
            None => asked(&format!("user at {server}: "), true)?,
        };
        let password = match &self.password {
            Some(password) => password.clone(),
            None => asked(&format!("password of {user}: "), false)?,
        };
        Ok(Credentials { user, password })
    }
}

/// The first line of a file that nobody else may read.
fn password_in(file: &Path) -> Result<String, Lost> {
    let shown = file.display();
    let cannot =
        |error: io::Error| Lost::new(format!("cannot read the password in {shown}: {error}"));
    let mode = fs::metadata(file).map_err(cannot)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Lost::new(format!(
            "others may read or write {shown} (mode {mode:o}), so the password in it is none: chmod 600 {shown}, and change it"
        )));
    }
    let text = fs::read_to_string(file).map_err(cannot)?;
    let password = text.lines().next().unwrap_or_default();
    if password.is_empty() {
        return Err(Lost::new(format!(
            "the first line of {shown} must be the password, and it is empty"
        )));
    }
    Ok(password.to_owned())
}

/// The terminal, whatever the standard streams are.
struct Terminal(File);

impl Terminal {
    fn open() -> io::Result<Self> {
        let path = PathBuf::from("/dev/tty");
        File::options().read(true).write(true).open(path).map(Self)
    }

    /// A line that is typed; `None` after Ctrl-C or Ctrl-D. Ctrl-U begins anew.
    fn ask(&mut self, prompt: &str, echo: bool) -> io::Result<Option<String>> {
        let raw = Raw::enter(&self.0)?;
        self.0.write_all(prompt.as_bytes())?;
        let mut typed = Vec::new();
        let ended = loop {
            let mut byte = [0];
            if self.0.read(&mut byte)? == 0 {
                break false;
            }
            match byte[0] {
                b'\r' | b'\n' => break true,
                0x03 => break false,
                0x04 if typed.is_empty() => break false,
                0x08 | 0x7f => {
                    let left = String::from_utf8_lossy(&typed);
                    let erased = left.chars().next_back().map_or(0, char::len_utf8);
                    typed.truncate(typed.len() - erased.min(typed.len()));
                    if echo && erased > 0 {
                        self.0.write_all(b"\x08 \x08")?;
                    }
                }
                0x15 => {
                    typed.clear();
                    if echo {
                        write!(self.0, "\r\x1b[K{prompt}")?;
                    }
                }
                control if control < b' ' => {}
                byte => {
                    typed.push(byte);
                    if echo {
                        self.0.write_all(&[byte])?;
                    }
                }
            }
        };
        drop(raw);
        self.0.write_all(b"\n")?;
        Ok(ended.then(|| String::from_utf8_lossy(&typed).into_owned()))
    }
}

/// Keys come one by one and are not shown, until this is dropped.
struct Raw {
    terminal: File,
    before: Termios,
}

impl Raw {
    fn enter(terminal: &File) -> io::Result<Self> {
        let terminal = terminal.try_clone()?;
        let before = termios::tcgetattr(&terminal)?;
        let mut raw = before.clone();
        raw.local_modes
            .remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        raw.special_codes[SpecialCodeIndex::VMIN] = 1;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        termios::tcsetattr(&terminal, OptionalActions::Flush, &raw)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}
