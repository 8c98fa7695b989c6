//! A file of those who may log in: in each line a name, a password and rights.
//!
//! ```text
//! # name  password     rights: all, or some of observe, trace, operate, evaluate
//! ada     analytical   all
//! guest   just-looking observe,trace
//! ```

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use grapeshot_backdoor::{Backdoor, Rights};

/// Whoever has more users than fit in here needs more than a file.
const LONGEST: u64 = 1 << 20;

/// Lets them log in.
///
/// # Errors
/// The file cannot be read, others than its owner can read it, or a line makes no sense.
pub fn add(backdoor: Backdoor, file: &Path) -> io::Result<Backdoor> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", file.display()));
    let text = read(file).map_err(named)?;
    let mut backdoor = backdoor;
    for (name, password, rights) in parse(&text).map_err(named)? {
        backdoor = backdoor.user(name, password, rights);
    }
    Ok(backdoor)
}

fn read(file: &Path) -> io::Result<String> {
    let file = File::open(file)?;
    if file.metadata()?.mode() & 0o077 != 0 {
        return Err(wrong(
            "it has passwords, and others than its owner may read it: `chmod 600` it".into(),
        ));
    }
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text)?;
    Ok(text)
}

fn parse(text: &str) -> io::Result<Vec<(&str, &str, Rights)>> {
    let lines = (1..).zip(text.lines());
    let lines = lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .map(|(number, line)| {
            let mut words = line.split_whitespace();
            let (Some(name), Some(password), Some(rights), None) =
                (words.next(), words.next(), words.next(), words.next())
            else {
                return Err(wrong(format!(
                    "line {number} has not three words: a name, a password and rights"
                )));
            };
            let rights = rights
                .parse()
                .map_err(|error| wrong(format!("line {number}: {error}")))?;
            Ok((name, password, rights))
        })
        .collect()
}

fn wrong(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use grapeshot_backdoor::Right;

    use super::*;

    #[test]
    fn lines_name_users_and_comments_do_not() {
        let text = "# who\n\nada  analytical\tall\nguest look observe,trace\n";
        let guest = Rights::of([Right::Observe, Right::Trace]);
        assert_eq!(
            parse(text).unwrap(),
            [
                ("ada", "analytical", Rights::all()),
                ("guest", "look", guest)
            ]
        );
        for (wrong, word) in [
            ("ada analytical", "line 1"),
            ("\na b c d", "line 2"),
            ("ada x everything", "everything"),
        ] {
            let error = parse(wrong).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn a_file_that_others_read_is_refused() {
        let path = std::env::temp_dir().join(format!("gs-users-{}", std::process::id()));
        std::fs::write(&path, "ada analytical all").unwrap();
        let with = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            add(Backdoor::new("x"), &path).map(|_| ())
        };
        let refused = with(0o644).unwrap_err().to_string();
        assert!(
            refused.contains("chmod 600") && refused.contains("gs-users"),
            "{refused}"
        );
        with(0o600).unwrap();
        std::fs::remove_file(&path).unwrap();
        let missing = add(Backdoor::new("x"), &path).map(|_| ()).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
