//! A terminal's screen, with its colours, as a page that looks like that terminal.

use std::fmt::Write;

/// How the characters that follow look.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Style {
    bold: bool,
    dim: bool,
    italic: bool,
    underlined: bool,
    reversed: bool,
    foreground: Option<String>,
    background: Option<String>,
}

const FOREGROUND: &str = "#d8dee9";
const BACKGROUND: &str = "#14171f";

/// The sixteen named colours: black, red, green, yellow, blue, magenta, cyan, white, and their bright sisters.
const NAMED: [&str; 16] = [
    "#3b4252", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#d8dee9",
    "#6b7489", "#ff7b86", "#b5e890", "#ffd68a", "#82c4ff", "#dd9bf0", "#7fd6e0", "#ffffff",
];

/// The page: `screen` in a window with a title bar.
pub(super) fn page(title: &str, screen: &str) -> String {
    format!(
        "<!doctype html><meta charset=utf-8><title>{title}</title><style>\
         body{{margin:0;padding:28px;background:#2b3040;font-family:sans-serif}}\
         .window{{display:inline-block;border-radius:10px;overflow:hidden;background:{BACKGROUND};\
         box-shadow:0 12px 40px #0008}}\
         .bar{{background:#20242f;color:#8d96a8;font-size:14px;text-align:center;padding:9px}}\
         .bar i{{float:left;width:12px;height:12px;border-radius:6px;margin:2px 0 0 8px}}\
         pre{{margin:0;padding:16px 20px 20px;color:{FOREGROUND};font:15px/1.35 'DejaVu Sans Mono',monospace}}\
         </style><div class=window><div class=bar><i style='background:#e06c75'></i>\
         <i style='background:#e5c07b'></i><i style='background:#98c379'></i>{title}</div>\
         <pre>{}</pre></div>",
        html(screen)
    )
}

/// The text without its escape sequences.
pub(super) fn plain(screen: &str) -> String {
    let mut text = String::with_capacity(screen.len());
    pieces(screen, |_, piece| text.push_str(piece));
    text
}

fn html(screen: &str) -> String {
    let mut page = String::new();
    pieces(screen, |style, piece| {
        let escaped = piece
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        let css = style.css();
        if css.is_empty() {
            page.push_str(&escaped);
        } else {
            write!(page, "<span style=\"{css}\">{escaped}</span>")
                .expect("a string takes everything");
        }
    });
    page
}

/// Calls `each` with every run of text and how it looks. Sequences other than colours are left out: a captured screen
/// has none that matter.
fn pieces(screen: &str, mut each: impl FnMut(&Style, &str)) {
    let mut style = Style::default();
    let mut rest = screen;
    while let Some(escape) = rest.find('\x1b') {
        each(&style, &rest[..escape]);
        rest = &rest[escape + 1..];
        let Some(sequence) = rest.strip_prefix('[') else {
            // Two-character sequences, as the choice of a character set's `ESC ( B`: three.
            let skip = if rest.starts_with(['(', ')']) { 2 } else { 1 };
            rest = rest
                .char_indices()
                .nth(skip)
                .map_or("", |(at, _)| &rest[at..]);
            continue;
        };
        let Some(end) = sequence.find(|c: char| ('@'..='~').contains(&c)) else {
            return;
        };
        if sequence[end..].starts_with('m') {
            style.apply(&sequence[..end]);
        }
        rest = &sequence[end + 1..];
    }
    each(&style, rest);
}

impl Style {
    /// Applies the numbers of one `ESC [ … m`.
    fn apply(&mut self, numbers: &str) {
        let mut numbers = numbers
            .split([';', ':'])
            .map(|number| number.parse::<u8>().unwrap_or(0));
        while let Some(number) = numbers.next() {
            match number {
                0 => *self = Self::default(),
                1 => self.bold = true,
                2 => self.dim = true,
                3 => self.italic = true,
                4 => self.underlined = true,
                7 => self.reversed = true,
                22 => (self.bold, self.dim) = (false, false),
                23 => self.italic = false,
                24 => self.underlined = false,
                27 => self.reversed = false,
                30..=37 => self.foreground = Some(NAMED[usize::from(number - 30)].into()),
                38 => self.foreground = extended(&mut numbers),
                39 => self.foreground = None,
                40..=47 => self.background = Some(NAMED[usize::from(number - 40)].into()),
                48 => self.background = extended(&mut numbers),
                49 => self.background = None,
                90..=97 => self.foreground = Some(NAMED[usize::from(number - 90 + 8)].into()),
                100..=107 => self.background = Some(NAMED[usize::from(number - 100 + 8)].into()),
                _ => {}
            }
        }
    }

    fn css(&self) -> String {
        let (mut foreground, mut background) =
            (self.foreground.as_deref(), self.background.as_deref());
        if self.reversed {
            (foreground, background) = (
                background.or(Some(BACKGROUND)),
                foreground.or(Some(FOREGROUND)),
            );
        }
        let mut css = String::new();
        let mut say = |condition: bool, words: &str| {
            if condition {
                css.push_str(words);
            }
        };
        say(self.bold, "font-weight:bold;");
        say(self.dim, "opacity:.65;");
        say(self.italic, "font-style:italic;");
        say(self.underlined, "text-decoration:underline;");
        if let Some(colour) = foreground {
            say(true, &format!("color:{colour};"));
        }
        if let Some(colour) = background {
            say(true, &format!("background:{colour};"));
        }
        css
    }
}

/// The colour after 38 or 48: `5;n` of the palette of 256, or `2;r;g;b`.
fn extended(numbers: &mut impl Iterator<Item = u8>) -> Option<String> {
    match numbers.next()? {
        5 => Some(palette(numbers.next()?)),
        2 => Some(format!(
            "#{:02x}{:02x}{:02x}",
            numbers.next()?,
            numbers.next()?,
            numbers.next()?
        )),
        _ => None,
    }
}

fn palette(index: u8) -> String {
    match index {
        0..=15 => NAMED[usize::from(index)].to_owned(),
        16..=231 => {
            let level = |n: u8| if n == 0 { 0 } else { 55 + 40 * n };
            let n = index - 16;
            format!(
                "#{:02x}{:02x}{:02x}",
                level(n / 36),
                level(n / 6 % 6),
                level(n % 6)
            )
        }
        232..=255 => {
            let grey = 8 + 10 * (index - 232);
            format!("#{grey:02x}{grey:02x}{grey:02x}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_become_spans_and_the_text_is_escaped() {
        assert_eq!(
            html("a\x1b[1;31m<b>\x1b[0m c"),
            "a<span style=\"font-weight:bold;color:#e06c75;\">&lt;b&gt;</span> c"
        );
        assert_eq!(
            html("\x1b[38;5;196mx\x1b[39my"),
            "<span style=\"color:#ff0000;\">x</span>y"
        );
        assert_eq!(
            html("\x1b[48;2;1;2;3mx"),
            "<span style=\"background:#010203;\">x</span>"
        );
    }

    #[test]
    fn reversed_text_swaps_the_colours_of_the_page_too() {
        assert_eq!(
            html("\x1b[7mx\x1b[27my"),
            format!("<span style=\"color:{BACKGROUND};background:{FOREGROUND};\">x</span>y")
        );
    }

    #[test]
    fn plain_text_loses_every_sequence_and_nothing_else() {
        assert_eq!(
            plain("\x1b(Bgrapeshot\x1b[K> \x1b[2Jps()\x1b[32m ok\x1b[m\n"),
            "grapeshot> ps() ok\n"
        );
        assert_eq!(plain("cut \x1b[1;3"), "cut ");
    }
}
