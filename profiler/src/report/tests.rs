//! What browsers make of it: `tests/browser/tests/report.rs`.

use serde_json::Value;

use super::*;
use crate::example::example;

/// The JSON in a report.
fn data(html: &str) -> Value {
    let (_, after) = html.split_once(r#"type="application/json">"#).unwrap();
    let (json, _) = after.split_once("</script>").unwrap();
    serde_json::from_str(json).unwrap()
}

/// What is spent in one half, summed up along its tree: (in all, by names from the outermost).
fn spent(data: &Value, half: &str) -> Vec<(String, u64)> {
    let name = |frame: &Value| {
        let name = &data["frames"]["name"][frame.as_u64().unwrap() as usize];
        data["names"][name.as_u64().unwrap() as usize]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let half = &data[half];
    let stacks = half["node"].as_array().unwrap();
    let mut all: Vec<_> = (stacks.iter().zip(half["nanos"].as_array().unwrap()))
        .map(|(node, nanos)| {
            let mut node = node.as_u64().unwrap() as usize;
            let mut names = Vec::new();
            loop {
                names.push(name(&half["frame"][node]));
                match half["up"][node].as_u64().unwrap() {
                    0 => break,
                    up => node -= up as usize,
                }
            }
            names.reverse();
            (names.join(" > "), nanos.as_u64().unwrap())
        })
        .collect();
    all.sort();
    all
}

fn expected(profile: &Profile, stacks: &[crate::Stack]) -> Vec<(String, u64)> {
    let mut all: Vec<_> = stacks
        .iter()
        .map(|stack| {
            let mut names = vec![profile.group(stack.group)];
            names.extend(stack.frames.iter().map(|&frame| profile.function(frame)));
            names.extend(stack.kind.map(|kind| profile.string(kind)));
            (names.join(" > "), stack.nanos)
        })
        .collect();
    all.sort();
    all
}

#[test]
fn the_page_has_every_stack() {
    let profile = example();
    let data = data(&html(&profile));
    assert_eq!(spent(&data, "on"), expected(&profile, &profile.on));
    assert_eq!(spent(&data, "off"), expected(&profile, &profile.off));
    let allocated = &profile.allocated;
    let told = spent(&data, "allocated");
    assert_eq!(told, expected(&profile, &allocated.stacks));
    assert_eq!(data["sides"][0]["allocations"], allocated.samples);
    assert_eq!(
        data["timeline"]["from"].as_array().unwrap().len(),
        profile.timeline.len()
    );
}

#[test]
fn two_profiles_meet_by_name() {
    let before = example();
    let mut after = example();
    // The same names at other numbers, and a group of its own.
    after.strings.reverse();
    let last = after.strings.len() as u32 - 1;
    for frame in &mut after.frames {
        frame.function = last - frame.function;
        frame.file = frame.file.map(|file| last - file);
    }
    for group in &mut after.groups {
        group.name = last - group.name;
        group
            .waits
            .iter_mut()
            .for_each(|wait| wait.0 = last - wait.0);
    }
    (after.off.iter_mut()).for_each(|stack| stack.kind = stack.kind.map(|kind| last - kind));
    after
        .wakes
        .iter_mut()
        .for_each(|wake| wake.kind = last - wake.kind);
    let data = data(&difference(&before, &after));
    let mut twice = expected(&before, &before.on);
    twice.extend(twice.clone());
    twice.sort();
    assert_eq!(spent(&data, "on"), twice);
    assert_eq!(
        data["groups"].as_array().unwrap().len(),
        before.groups.len()
    );
    let one = self::data(&html(&before));
    assert_eq!(data["on"]["up"], one["on"]["up"]);
    assert_eq!(data["sides"][0]["groups"], data["sides"][1]["groups"]);
}

#[test]
fn names_cannot_leave_the_data() {
    const EVIL: &str = "</script><img src=x onerror=alert(1)><!--<script>{{script}}&amp;\u{2028}";
    let mut profile = example();
    profile.application = EVIL.into();
    for name in &mut profile.strings {
        name.insert_str(0, EVIL);
    }
    for page in [html(&profile), difference(&profile, &example())] {
        assert!(!page.contains("<img"));
        assert!(!page.contains("<!--"));
        // The two of the page itself.
        assert_eq!(page.matches("<script").count(), 2);
        assert_eq!(page.matches("</script").count(), 2);
        let names = data(&page)["names"].to_string();
        assert!(names.contains("<img src=x onerror=alert(1)>"));
        assert!(names.contains("{{script}}"));
    }
    assert!(html(&profile).contains("<title>&lt;/script&gt;&lt;img"));
}

#[test]
fn assets_can_stand_in_a_page() {
    for text in page::SCRIPTS {
        assert!(!text.contains("</script") && !text.contains("<!--") && !text.contains("<script"));
    }
    for text in page::STYLES {
        assert!(!text.contains("</style") && !text.contains("@import") && !text.contains("url("));
    }
}

#[test]
fn an_empty_profile_has_a_report() {
    let page = html(&Profile::default());
    assert_eq!(spent(&data(&page), "on"), []);
}
