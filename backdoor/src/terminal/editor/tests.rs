use super::*;
use proptest::prelude::*;

const COLUMNS: u16 = 30;

/// An editor at its prompt and the screen of its terminal.
struct Seat {
    editor: Editor,
    screen: vt100::Parser,
}

impl Seat {
    fn new() -> Self {
        let mut seat = Self {
            editor: Editor::new(),
            screen: vt100::Parser::new(40.try_into().unwrap(), COLUMNS.try_into().unwrap(), 0),
        };
        seat.editor.set_dumb(false);
        let mut out = String::new();
        seat.editor.set_columns(usize::from(COLUMNS), &mut out);
        seat.editor.begin("ship> ", Show::Text, &mut out);
        seat.screen.process(out.as_bytes());
        seat
    }

    fn press(&mut self, keys: &[Key]) -> Option<Pressed> {
        let mut pressed = None;
        for key in keys {
            let mut out = String::new();
            pressed = self.editor.press(*key, &mut out);
            self.screen.process(out.as_bytes());
        }
        pressed
    }

    fn type_in(&mut self, text: &str) {
        let keys: Vec<Key> = text.chars().map(Key::Char).collect();
        self.press(&keys);
    }

    fn act(&mut self, act: impl FnOnce(&mut Editor, &mut String)) {
        let mut out = String::new();
        act(&mut self.editor, &mut out);
        self.screen.process(out.as_bytes());
    }

    fn enter(&mut self, text: &str) {
        self.type_in(text);
        self.act(|editor, out| {
            let text = editor.accept(out);
            editor.remember(&text);
            editor.begin("ship> ", Show::Text, out);
        });
    }

    fn text(&self) -> &str {
        self.editor.text().0
    }

    fn shown(&self) -> String {
        self.screen.screen().contents()
    }

    /// What stands in the row with the cursor, and where the cursor is.
    fn last(&self) -> (String, u16) {
        let (row, column) = self.screen.screen().cursor_position();
        let mut rows = self.screen.screen().rows(0, COLUMNS);
        (rows.nth(usize::from(row)).unwrap(), column)
    }
}

#[test]
fn keys_edit_as_in_every_shell() {
    let cases: &[(&[Key], &str)] = &[
        (&[Key::Home, Key::Char('>')], ">let me = 1"),
        (&[Key::Ctrl('a'), Key::Delete], "et me = 1"),
        (&[Key::Backspace, Key::Backspace], "let me ="),
        (&[Key::Left, Key::Left, Key::Ctrl('k')], "let me ="),
        (&[Key::Ctrl('w')], "let me = "),
        (&[Key::Ctrl('w'), Key::Ctrl('w')], "let "),
        (&[Key::WordLeft, Key::WordLeft, Key::Ctrl('u')], "me = 1"),
        (
            &[Key::Ctrl('u'), Key::Ctrl('y'), Key::Ctrl('y')],
            "let me = 1let me = 1",
        ),
        (&[Key::Home, Key::WordRight, Key::Char('s')], "lets me = 1"),
        (&[Key::Home, Key::End, Key::Char('0')], "let me = 10"),
        (&[Key::Home, Key::Left, Key::Ctrl('d')], "et me = 1"),
    ];
    for (keys, want) in cases {
        let mut seat = Seat::new();
        seat.type_in("let me = 1");
        assert_eq!(seat.press(keys), None);
        assert_eq!(seat.text(), *want, "{keys:?}");
        assert_eq!(
            seat.shown().trim_end(),
            format!("ship> {want}").trim_end(),
            "{keys:?}"
        );
    }
}

#[test]
fn what_is_for_others_is_told() {
    let mut seat = Seat::new();
    assert_eq!(seat.press(&[Key::Ctrl('d')]), Some(Pressed::Leave));
    assert_eq!(seat.press(&[Key::Tab]), Some(Pressed::Complete));
    assert_eq!(seat.press(&[Key::Char('x'), Key::Ctrl('d')]), None);
    assert_eq!(seat.press(&[Key::Ctrl('c')]), Some(Pressed::Interrupt));
    assert_eq!(seat.press(&[Key::Enter]), Some(Pressed::Enter));
}

#[test]
fn wide_characters_and_several_rows_leave_the_cursor_where_it_belongs() {
    let mut seat = Seat::new();
    seat.type_in("漢字漢字漢字漢字漢字漢字漢字");
    assert_eq!(seat.shown(), "ship> 漢字漢字漢字漢字漢字漢\n字漢字");
    assert_eq!(seat.last(), ("字漢字".to_owned(), 6));
    seat.press(&[Key::Left, Key::Left]);
    assert_eq!(seat.last().1, 2);
    seat.press(&[Key::Backspace, Key::Backspace]);
    assert_eq!(seat.shown(), "ship> 漢字漢字漢字漢字漢字漢\n字");
    assert_eq!(seat.last(), ("ship> 漢字漢字漢字漢字漢字漢".to_owned(), 26));
    seat.press(&[Key::Ctrl('u')]);
    assert_eq!(seat.shown(), "ship> 漢字");
}

#[test]
fn a_statement_goes_on_in_further_lines() {
    let mut seat = Seat::new();
    seat.type_in("[1,");
    seat.act(Editor::go_on);
    seat.type_in("2]");
    assert_eq!(seat.text(), "[1,\n2]");
    assert_eq!(seat.shown(), "ship> [1,\n…     2]");
    seat.press(&[Key::Home, Key::Delete, Key::End]);
    assert_eq!(seat.shown(), "ship> 1,\n…     2]");
    assert_eq!(seat.last().1, 8);
}

#[test]
fn a_new_width_shows_the_line_anew() {
    let mut seat = Seat::new();
    seat.type_in(&"x".repeat(40));
    let mut wide = vt100::Parser::new(40.try_into().unwrap(), 60.try_into().unwrap(), 0);
    let mut out = String::new();
    seat.editor.set_columns(60, &mut out);
    wide.process(out.as_bytes());
    assert_eq!(
        wide.screen().contents(),
        format!("ship> {}", "x".repeat(40))
    );
}

#[test]
fn earlier_lines_come_back() {
    let mut seat = Seat::new();
    seat.enter("ps()");
    seat.enter("workers()");
    seat.type_in("dra");
    seat.press(&[Key::Up, Key::Up]);
    assert_eq!(seat.last().0, "ship> ps()");
    seat.press(&[Key::Down, Key::Down]);
    assert_eq!(seat.last().0, "ship> dra");
    seat.press(&[Key::Ctrl('r'), Key::Char('p'), Key::Char('s')]);
    assert_eq!(seat.last().0, "(search `ps`) ps()");
    seat.press(&[Key::Ctrl('g')]);
    assert_eq!(seat.last().0, "ship> dra");
    seat.press(&[Key::Ctrl('r'), Key::Char('w')]);
    assert_eq!(seat.press(&[Key::Enter]), Some(Pressed::Enter));
    assert_eq!(seat.text(), "workers()");
    assert_eq!(seat.last().0, "ship> workers()");
}

#[test]
fn candidates_complete_or_are_listed() {
    let name = |text: &str| (text.to_owned(), format!("{text})"));
    let mut seat = Seat::new();
    seat.type_in("let x = wh");
    seat.act(|editor, out| editor.complete(8, &[name("where("), name("where_all(")], out));
    assert_eq!(seat.text(), "let x = where");
    seat.act(|editor, out| editor.complete(8, &[name("where("), name("where_all(")], out));
    assert_eq!(
        seat.shown(),
        "ship> let x = where\nwhere()      where_all()\nship> let x = where"
    );
    assert_eq!(seat.last().1, 19);
    // None, and an answer to what is there no longer.
    seat.act(|editor, out| editor.complete(8, &[], out));
    seat.act(|editor, out| editor.complete(800, &[name("a"), name("b")], out));
    assert_eq!(seat.text(), "let x = where");
}

#[test]
fn a_password_is_never_shown_and_not_remembered() {
    let mut seat = Seat::new();
    seat.act(|editor, out| editor.begin("password: ", Show::Nothing, out));
    seat.type_in("sesame!");
    seat.press(&[
        Key::Backspace,
        Key::Left,
        Key::Right,
        Key::Up,
        Key::Ctrl('r'),
        Key::Ctrl('l'),
    ]);
    assert_eq!(seat.shown().trim_end(), "password:");
    seat.press(&[Key::Ctrl('u'), Key::Ctrl('y')]);
    seat.type_in("sesame");
    let mut taken = String::new();
    seat.act(|editor, out| taken = editor.accept(out));
    assert_eq!(taken, "sesame");
    assert!(!seat.shown().contains("sesame"));
}

#[test]
fn who_shows_his_own_lines_gets_only_prompts() {
    let mut editor = Editor::new();
    let mut out = String::new();
    editor.begin("ship> ", Show::Text, &mut out);
    for key in "ps()".chars().map(Key::Char) {
        editor.press(key, &mut out);
    }
    editor.press(Key::Up, &mut out);
    assert_eq!(editor.accept(&mut out), "ps()");
    assert_eq!(out, "ship> ");
}

#[test]
fn a_line_without_end_is_cut_off() {
    let mut seat = Seat::new();
    let mut out = String::new();
    for _ in 0..2 * LONGEST {
        seat.editor.press(Key::Char('x'), &mut out);
    }
    assert_eq!(seat.text().len(), LONGEST);
}

fn key() -> impl Strategy<Value = Key> {
    prop_oneof![
        4 => prop_oneof![Just('a'), Just('b'), Just(' '), Just('漢'), Just('é'), Just('\u{301}')].prop_map(Key::Char),
        2 => prop_oneof![
            Just(Key::Left), Just(Key::Right), Just(Key::Home), Just(Key::End), Just(Key::Backspace), Just(Key::Delete),
            Just(Key::WordLeft), Just(Key::WordRight), Just(Key::Up), Just(Key::Down)
        ],
        1 => proptest::char::range('a', 'z').prop_map(Key::Ctrl),
        1 => Just(Key::Enter),
        1 => Just(Key::Tab),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// What comes of many small outputs is what one drawing of the same state would show.
    #[test]
    fn the_screen_is_always_right(keys in proptest::collection::vec(key(), 0..80)) {
        let mut seat = Seat::new();
        for key in keys {
            match seat.press(&[key]) {
                Some(Pressed::Enter) if seat.text().len().is_multiple_of(2) => seat.act(Editor::go_on),
                Some(Pressed::Complete) => seat.act(|editor, out| {
                    let at = editor.text().1;
                    editor.complete(at, &[("ab".into(), "ab".into()), ("ac".into(), "ac".into())], out);
                }),
                _ => {}
            }
            prop_assert!(seat.editor.text.is_char_boundary(seat.editor.cursor));
        }
        // A search ends by that; then it clears, and draws from the top.
        seat.press(&[Key::Ctrl('g')]);
        let before = (seat.last(), seat.editor.at);
        let (rows, at) = (seat.shown(), seat.screen.screen().cursor_position());
        seat.press(&[Key::Ctrl('l')]);
        let lines = seat.shown();
        prop_assert!(rows.ends_with(&lines), "{rows:?} {lines:?}");
        prop_assert_eq!(&before.0, &seat.last());
        prop_assert_eq!(at.1, seat.screen.screen().cursor_position().1);
        prop_assert_eq!(before.1, seat.editor.at);
    }
}
