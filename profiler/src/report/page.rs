//! Putting the page together.

use base64::prelude::{BASE64_STANDARD, Engine};
use sha2::{Digest, Sha256};

use super::data::Data;
use super::{FLAME_CSS, FLAME_JS};

const PAGE: &str = include_str!("../../assets/page.html");

/// In the order in which they need each other.
pub(super) const STYLES: [&str; 2] = [FLAME_CSS, include_str!("../../assets/page.css")];
pub(super) const SCRIPTS: [&str; 7] = [
    include_str!("../../assets/units.js"),
    FLAME_JS,
    include_str!("../../assets/timeline.js"),
    include_str!("../../assets/table.js"),
    include_str!("../../assets/model.js"),
    include_str!("../../assets/tables.js"),
    include_str!("../../assets/page.js"),
];

pub(super) fn page(title: &str, data: &Data<'_>) -> String {
    let (style, script) = (STYLES.concat(), SCRIPTS.concat());
    let policy = format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; base-uri 'none'; form-action 'none'",
        source(&script),
        source(&style)
    );
    let data = serde_json::to_string(data).expect("plain data has a JSON");
    fill(PAGE, |name| match name {
        "policy" => policy.clone(),
        "title" => escape(title),
        "style" => style.clone(),
        "data" => data_block(&data),
        "script" => script.clone(),
        _ => unreachable!("the page has no place {name}"),
    })
}

/// Puts values into the places of a template, `{{name}}`. What is in a value is not looked at.
fn fill(template: &str, value: impl Fn(&str) -> String) -> String {
    let mut filled = String::new();
    let mut pieces = template.split("{{");
    filled.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let (name, after) = piece.split_once("}}").expect("a place ends");
        filled.push_str(&value(name));
        filled.push_str(after);
    }
    filled
}

/// How a content security policy names a script or a style sheet that stands in the page.
fn source(text: &str) -> String {
    format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(text)))
}

/// JSON that cannot end the `script` element it stands in. These characters are in its strings only.
fn data_block(json: &str) -> String {
    json.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
