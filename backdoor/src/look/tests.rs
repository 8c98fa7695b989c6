use super::*;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Serialize)]
enum Mood {
    Calm,
    Angry(u32),
    Torn(u32, u32),
    Sad { since: u64, about: Vec<String> },
}

#[derive(Serialize)]
struct Player {
    name: String,
    score: Option<i64>,
    place: (f64, f64),
    mood: Mood,
    bag: BTreeMap<u32, Vec<&'static str>>,
    id: u128,
}

fn player(mood: Mood) -> Player {
    Player {
        name: "ann".into(),
        score: Some(7),
        place: (1.5, -2.0),
        mood,
        bag: [(1, vec!["rope"]), (20, vec!["key", "coin"])].into(),
        id: u128::MAX,
    }
}

fn players() -> Vec<Player> {
    let sad = Mood::Sad {
        since: 3,
        about: vec!["rain".into()],
    };
    vec![
        player(Mood::Calm),
        player(Mood::Angry(9)),
        player(Mood::Torn(1, 2)),
        player(sad),
    ]
}

fn path(text: &str) -> Vec<Step> {
    let step = |step: &str| match step.parse() {
        Ok(index) => Step::Index(index),
        Err(_) => Step::Field(step.trim_start_matches('#').to_owned()),
    };
    text.split_whitespace().map(step).collect()
}

/// Wherever a path leads, looking there finds what is there in the whole value's JSON.
#[test]
fn every_path_finds_what_the_json_has() {
    fn go(value: &Vec<Player>, json: &Value, steps: &mut Vec<Step>, checked: &mut usize) {
        *checked += 1;
        let whole = look(value, steps, Want::Whole(1 << 20));
        assert_eq!(whole, Ok(Found::Value(json.clone())), "{steps:?}");
        match json {
            Value::Array(items) => {
                assert_eq!(
                    look(value, steps, Want::Shape),
                    Ok(Found::List(items.len())),
                    "{steps:?}"
                );
                let some = Found::Value(items.iter().skip(1).take(2).cloned().collect());
                assert_eq!(look(value, steps, Want::Slice(1, 3, 1 << 20)), Ok(some));
                for (index, item) in items.iter().enumerate() {
                    steps.push(Step::Index(index));
                    go(value, item, steps, checked);
                    steps.pop();
                }
            }
            Value::Object(fields) => {
                let names = fields.keys().cloned().collect();
                assert_eq!(
                    look(value, steps, Want::Shape),
                    Ok(Found::Fields(names)),
                    "{steps:?}"
                );
                for (name, field) in fields {
                    steps.push(Step::Field(name.clone()));
                    go(value, field, steps, checked);
                    steps.pop();
                }
            }
            scalar => assert_eq!(
                look(value, steps, Want::Shape),
                Ok(Found::Value(scalar.clone())),
                "{steps:?}"
            ),
        }
    }
    let mut players = players();
    // Beyond what JSON's numbers hold here; it is shown as text.
    players.iter_mut().for_each(|player| player.id = 5);
    let mut json = serde_json::to_value(&players).unwrap();
    for player in json.as_array_mut().unwrap() {
        player["id"] = json!("5");
    }
    let mut checked = 0;
    for (index, player) in json.as_array().unwrap().iter().enumerate() {
        for (name, field) in player.as_object().unwrap() {
            if name == "id" {
                continue;
            }
            let mut steps = vec![Step::Index(index), Step::Field(name.clone())];
            go(&players, field, &mut steps, &mut checked);
        }
    }
    assert!(checked > 50, "{checked}");
    assert_eq!(
        look(&players, &path("0 id"), Want::Shape),
        Ok(Found::Value(json!("5")))
    );
}

#[test]
fn a_wrong_path_is_told_what_there_is() {
    let players = players();
    let error = |steps: &str| look(&players, &path(steps), Want::Shape).unwrap_err().0;
    assert_eq!(error("4"), "there is no element 4: there are 4");
    assert_eq!(error("name"), "there is no field `name`: it is a list of 4");
    assert_eq!(
        error("0 nam"),
        "there is no field `nam`; there are name, score, place, mood, bag, id"
    );
    assert_eq!(error("0 name 1"), "there is no element 1 in \"ann\"");
    assert_eq!(error("0 mood x"), "there is no field `x` in \"Calm\"");
    assert_eq!(error("1 mood x"), "there is no field `x`; there are Angry");
    assert_eq!(error("0 place 2"), "there is no element 2: there are 2");
    assert_eq!(
        look(&players, &path("0 name"), Want::Slice(0, 1, 9))
            .unwrap_err()
            .0,
        "\"ann\" is no list"
    );
}

#[test]
fn what_is_beside_the_path_is_not_converted() {
    /// Serializing it is a mistake.
    struct Untouched;
    impl Serialize for Untouched {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            panic!("nobody asked for it");
        }
    }
    #[derive(Serialize)]
    struct Both {
        huge: Untouched,
        small: u8,
    }
    let both = vec![
        Both {
            huge: Untouched,
            small: 1,
        },
        Both {
            huge: Untouched,
            small: 2,
        },
    ];
    assert_eq!(
        look(&both, &path("1 small"), Want::Shape),
        Ok(Found::Value(json!(2)))
    );
    assert_eq!(look(&both, &[], Want::Shape), Ok(Found::List(2)));
}

#[test]
fn what_is_too_long_is_told_so_and_a_part_is_had() {
    let long: Vec<u64> = (0..1_000_000).collect();
    let error = look(&long, &[], Want::Whole(1 << 20)).unwrap_err().0;
    assert!(
        error.contains("more than 1 MiB") && error.contains("[0..100]"),
        "{error}"
    );
    assert_eq!(
        look(&long, &[], Want::Slice(999_998, 2_000_000, 1 << 20)),
        Ok(Found::Value(json!([999_998, 999_999])))
    );
    assert!(look(&long, &[], Want::Slice(0, 1_000_000, 1 << 20)).is_err());
    assert_eq!(look(&long, &[], Want::Shape), Ok(Found::List(1_000_000)));
}

#[test]
fn durations_and_none_are_what_they_are() {
    let value = (Duration::from_millis(1500), None::<u8>, ());
    assert_eq!(
        look(&value, &path("0"), Want::Shape),
        Ok(Found::Fields(vec!["secs".into(), "nanos".into()]))
    );
    assert_eq!(
        look(&value, &path("1"), Want::Shape),
        Ok(Found::Value(Value::Null))
    );
    assert_eq!(
        look(&value, &path("2"), Want::Shape),
        Ok(Found::Value(Value::Null))
    );
}
