//! Names of players: what a browser may call itself, and what it is called if it does not say.

/// The longest name, in characters.
pub const LONGEST: usize = 24;

/// Makes a name out of whatever a browser sent: control and formatting characters go, runs of blanks become one
/// blank, the rest is cut after [`LONGEST`] characters. `None` if nothing is left.
pub fn sanitise(raw: &str) -> Option<String> {
    let mut name = String::new();
    let mut length = 0;
    for c in raw.chars() {
        let c = if c.is_whitespace() { ' ' } else { c };
        if !shows(c) || (c == ' ' && (name.is_empty() || name.ends_with(' '))) {
            continue;
        }
        if length == LONGEST {
            break;
        }
        name.push(c);
        length += 1;
    }
    name.truncate(name.trim_end().len());
    (!name.is_empty()).then_some(name)
}

/// Leaves out what could hide or turn around other people's names: controls, zero-width and direction marks, stacked
/// accents, private and tag characters.
fn shows(c: char) -> bool {
    !c.is_control()
        && !matches!(c,
            '\u{ad}' | '\u{300}'..='\u{36f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{180e}' | '\u{1ab0}'..='\u{1aff}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{20d0}'..='\u{20ff}'
            | '\u{3164}' | '\u{e000}'..='\u{f8ff}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..)
}

/// The name, or the name with a number behind it if somebody has it already.
pub fn unique(wanted: &str, taken: impl Fn(&str) -> bool) -> String {
    if !taken(wanted) {
        return wanted.to_owned();
    }
    (2u32..)
        .map(|n| {
            let suffix = format!("-{n}");
            wanted
                .chars()
                .take(LONGEST - suffix.len())
                .chain(suffix.chars())
                .collect::<String>()
        })
        .find(|name| !taken(name))
        .expect("fewer players than numbers")
}

/// A name for somebody who has not said one, such as "quiet heron".
pub fn invent(rng: &mut fastrand::Rng) -> String {
    const HOW: [&str; 24] = [
        "amber", "brisk", "calm", "copper", "dapper", "eager", "fern", "gentle", "hazel", "indigo",
        "jolly", "keen", "lucky", "mellow", "nimble", "opal", "plucky", "quiet", "russet",
        "silver", "teal", "umber", "velvet", "witty",
    ];
    const WHO: [&str; 24] = [
        "badger", "crane", "dormouse", "egret", "falcon", "gecko", "heron", "ibis", "jackdaw",
        "kestrel", "lynx", "marten", "newt", "otter", "puffin", "quail", "raven", "stoat", "tern",
        "urchin", "vole", "wren", "yak", "zander",
    ];
    format!(
        "{} {}",
        HOW[rng.usize(..HOW.len())],
        WHO[rng.usize(..WHO.len())]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_trimmed_cut_and_cleaned() {
        assert_eq!(
            sanitise("  Ada \t\n Lovelace  ").as_deref(),
            Some("Ada Lovelace")
        );
        assert_eq!(
            sanitise("a\u{202e}b\u{200b}c\u{7}d").as_deref(),
            Some("abcd")
        );
        assert_eq!(
            sanitise("Z\u{301}\u{302}\u{303}algo").as_deref(),
            Some("Zalgo")
        );
        assert_eq!(sanitise(" \u{200b} \u{3164} "), None);
        assert_eq!(sanitise(""), None);
        let long = sanitise(&"é".repeat(1000)).expect("letters remain");
        assert_eq!(long.chars().count(), LONGEST);
        let cut_at_a_blank =
            sanitise(&format!("{} tail", "x".repeat(LONGEST - 1))).expect("letters remain");
        assert_eq!(cut_at_a_blank, "x".repeat(LONGEST - 1));
    }

    #[test]
    fn a_taken_name_gets_a_number_and_stays_short() {
        let wanted = "n".repeat(LONGEST);
        let second = unique(&wanted, |name| name == wanted);
        let third = unique(&wanted, |name| name == wanted || name == second);
        assert_eq!(second, format!("{}-2", "n".repeat(LONGEST - 2)));
        assert_eq!(third, format!("{}-3", "n".repeat(LONGEST - 2)));
        assert_eq!(unique("free", |_| false), "free");
    }

    #[test]
    fn invented_names_are_names() {
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..1000 {
            let name = invent(&mut rng);
            assert_eq!(sanitise(&name).as_deref(), Some(name.as_str()));
        }
    }
}
