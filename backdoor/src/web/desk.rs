//! What a page asked for and what it is owed: when the next snapshot may go out. Performs no I/O and reads no clock.
//!
//! A page is sent one snapshot, and the next one when it has said that it saw that and the pause is over. So a slow page gets
//! fewer of them, a hidden one none, and none piles up anywhere.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::view::View;

/// Answers that wait for the next snapshot. Whoever asks faster than it takes snapshots is told nothing of the rest.
const ANSWERS: usize = 32;
/// What was asked for anew comes after so long at least, however often that is.
const HASTE: Duration = Duration::from_millis(40);
/// A view that takes long to make is made seldom: this part of the time goes into it, but for one that takes very long.
const SHARE: u32 = 10;
/// So seldom at most.
const SELDOM: Duration = Duration::from_secs(5);
/// Another view waits no longer than this for its turn.
const PATIENCE: Duration = Duration::from_millis(250);

pub(crate) struct Desk {
    every: Duration,
    view: View,
    /// Which wish this answers, and what the view shows, until a snapshot takes it.
    shown: Option<(u64, Value)>,
    detail: Option<Value>,
    answers: VecDeque<Value>,
    /// What is wrong, until a snapshot takes it.
    trouble: Option<Value>,
    /// There is something that should not wait for the pause.
    hurry: bool,
    /// The number of the latest snapshot, and whether it has been seen.
    sent: u64,
    seen: bool,
    sent_at: Option<Instant>,
    /// When the view was made last, and what that took.
    made: Option<(Instant, Duration)>,
    view_changed: bool,
    /// Nothing was shown of the view yet.
    view_is_new: bool,
}

/// When to do the next thing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Now,
    In(Duration),
    /// When something happens.
    Later,
}

/// What goes into a snapshot besides the figures.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    pub(crate) number: u64,
    pub(crate) view: Option<Value>,
    /// The wish that view and detail answer.
    pub(crate) wish: Option<u64>,
    pub(crate) detail: Option<Value>,
    pub(crate) answers: Vec<Value>,
    pub(crate) trouble: Option<Value>,
    /// How long the view took to make, and how long it is from one to the next because of that.
    pub(crate) took: Duration,
    pub(crate) pause: Duration,
}

impl Desk {
    /// At most one snapshot each `every`.
    pub(crate) fn new(every: Duration) -> Self {
        Self {
            every,
            view: View::default(),
            shown: None,
            detail: None,
            answers: VecDeque::new(),
            trouble: None,
            hurry: false,
            sent: 0,
            seen: true,
            sent_at: None,
            made: None,
            view_changed: true,
            view_is_new: true,
        }
    }

    /// The page wants to see something else.
    pub(crate) fn look_at(&mut self, view: View) {
        if view != self.view {
            self.view = view;
            self.view_changed = true;
            self.view_is_new = true;
            // What was made for another view is of no use.
            self.shown = None;
            self.detail = None;
        }
    }

    /// The page has seen this snapshot.
    pub(crate) fn saw(&mut self, number: u64) {
        if number == self.sent {
            self.seen = true;
        }
    }

    pub(crate) fn answer(&mut self, answer: Value) {
        if self.answers.len() < ANSWERS {
            self.answers.push_back(answer);
            self.hurry = true;
        }
    }

    /// What is wrong now, for the next snapshot.
    pub(crate) fn count(&mut self, trouble: Value) {
        self.trouble = Some(trouble);
    }

    /// Whether a snapshot has taken what was counted last.
    pub(crate) fn wants_count(&self) -> bool {
        self.trouble.is_none()
    }

    /// When the next snapshot goes out.
    pub(crate) fn snapshot_due(&self, now: Instant) -> Due {
        let Some(sent_at) = self.sent_at else {
            return Due::Now;
        };
        if !self.seen {
            return Due::Later;
        }
        let pause = if self.hurry { HASTE } else { self.every };
        until(sent_at + pause, now)
    }

    /// Takes what the next snapshot is made of; it counts as sent now.
    pub(crate) fn take(&mut self, now: Instant) -> Parts {
        self.sent += 1;
        self.seen = false;
        self.sent_at = Some(now);
        self.hurry = false;
        let (wish, view) = self.shown.take().unzip();
        Parts {
            number: self.sent,
            view,
            wish,
            detail: self.detail.take(),
            answers: self.answers.drain(..).collect(),
            trouble: self.trouble.take(),
            took: self.took(),
            pause: self.pause(),
        }
    }

    fn took(&self) -> Duration {
        self.made.map_or(Duration::ZERO, |(_, took)| took)
    }

    /// Between two views.
    fn pause(&self) -> Duration {
        self.every.max((self.took() * SHARE).min(SELDOM))
    }

    /// When the view is to be made again. One that nobody has fetched is not.
    pub(crate) fn view_due(&self, now: Instant) -> Due {
        let Some((made_at, took)) = self.made else {
            return Due::Now;
        };
        if self.view_changed {
            return until(made_at + took.clamp(HASTE, PATIENCE), now);
        }
        if self.shown.is_some() {
            return Due::Later;
        }
        until(made_at + self.pause(), now)
    }

    /// The view is being made, for what this gives.
    pub(crate) fn begin_view(&mut self) -> View {
        self.view_changed = false;
        self.view.clone()
    }

    /// It was made; if it is still wanted it goes out with the next snapshot.
    pub(crate) fn end_view(
        &mut self,
        of: &View,
        shown: Value,
        detail: Option<Value>,
        now: Instant,
        took: Duration,
    ) {
        self.made = Some((now, took));
        if *of != self.view {
            return;
        }
        self.hurry |= std::mem::take(&mut self.view_is_new);
        self.shown = Some((of.wish, shown));
        self.detail = detail;
    }
}

fn until(then: Instant, now: Instant) -> Due {
    match then.checked_duration_since(now) {
        None | Some(Duration::ZERO) => Due::Now,
        Some(pause) => Due::In(pause),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::view::Panel;

    const EVERY: Duration = Duration::from_millis(500);

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn groups() -> View {
        View {
            panel: Panel::Groups,
            open: None,
            wish: 0,
        }
    }

    #[test]
    fn one_snapshot_is_under_way_and_the_next_keeps_the_pause() {
        let start = Instant::now();
        let mut desk = Desk::new(EVERY);
        assert_eq!(desk.snapshot_due(start), Due::Now);
        let first = desk.take(start).number;
        for later in [ms(0), ms(600), Duration::from_secs(3600)] {
            assert_eq!(
                desk.snapshot_due(start + later),
                Due::Later,
                "unseen after {later:?}"
            );
        }
        desk.saw(first + 1);
        assert_eq!(
            desk.snapshot_due(start + ms(600)),
            Due::Later,
            "another was seen"
        );
        desk.saw(first);
        assert_eq!(desk.snapshot_due(start + ms(100)), Due::In(ms(400)));
        assert_eq!(desk.snapshot_due(start + ms(500)), Due::Now);
        assert_eq!(desk.snapshot_due(start + ms(900)), Due::Now);
    }

    #[test]
    fn an_answer_hurries_but_not_past_a_page_that_has_not_seen_the_last() {
        let start = Instant::now();
        let mut desk = Desk::new(EVERY);
        let number = desk.take(start).number;
        desk.answer(Value::from(1));
        assert_eq!(desk.snapshot_due(start + ms(300)), Due::Later);
        desk.saw(number);
        assert_eq!(desk.snapshot_due(start + ms(10)), Due::In(ms(30)));
        assert_eq!(desk.snapshot_due(start + ms(300)), Due::Now);
        assert_eq!(desk.take(start + ms(300)).answers, [1]);
    }

    #[test]
    fn answers_do_not_pile_up() {
        let mut desk = Desk::new(EVERY);
        (0..1000).for_each(|n| desk.answer(Value::from(n)));
        assert_eq!(desk.take(Instant::now()).answers.len(), ANSWERS);
    }

    #[test]
    fn a_view_that_takes_long_is_made_seldom() {
        let start = Instant::now();
        let mut desk = Desk::new(EVERY);
        assert_eq!(desk.view_due(start), Due::Now);
        let view = desk.begin_view();
        desk.end_view(&view, Value::from("a"), None, start, ms(300));
        assert_eq!(
            desk.view_due(start + ms(9000)),
            Due::Later,
            "nobody has fetched it"
        );
        assert_eq!(desk.take(start).view, Some(Value::from("a")));
        assert_eq!(desk.take(start).view, None, "it goes out once");
        assert_eq!(desk.view_due(start), Due::In(ms(3000)));
        // Another view is made sooner, but does not follow at once.
        desk.look_at(groups());
        assert_eq!(desk.view_due(start), Due::In(PATIENCE));
        let view = desk.begin_view();
        desk.end_view(&view, Value::from("b"), None, start, Duration::from_secs(2));
        assert_eq!(desk.take(start).pause, SELDOM);
    }

    #[test]
    fn a_snapshot_says_which_wish_it_answers() {
        let start = Instant::now();
        let mut desk = Desk::new(EVERY);
        let wished = |wish| View { wish, ..groups() };
        desk.look_at(wished(1));
        let view = desk.begin_view();
        desk.end_view(&view, Value::from("one"), None, start, ms(1));
        // The same table, asked for anew, is made anew.
        desk.look_at(wished(2));
        let parts = desk.take(start);
        assert_eq!((parts.wish, parts.view), (None, None));
        assert_eq!(desk.view_due(start + HASTE), Due::Now);
        let view = desk.begin_view();
        desk.end_view(&view, Value::from("two"), None, start, ms(1));
        let parts = desk.take(start);
        assert_eq!((parts.wish, parts.view), (Some(2), Some("two".into())));
    }

    #[test]
    fn what_was_made_for_another_view_is_not_shown() {
        let start = Instant::now();
        let mut desk = Desk::new(EVERY);
        let old = desk.begin_view();
        desk.look_at(groups());
        desk.end_view(&old, Value::from("old"), None, start, ms(1));
        assert_eq!(desk.take(start).view, None);
        assert_eq!(
            desk.view_due(start + HASTE),
            Due::Now,
            "the new one is still to be made"
        );
        let new = desk.begin_view();
        desk.end_view(&new, Value::from("new"), None, start, ms(1));
        desk.saw(1);
        assert_eq!(
            desk.snapshot_due(start + HASTE),
            Due::Now,
            "the first of a view hurries"
        );
        assert_eq!(desk.take(start).view, Some(Value::from("new")));
    }
}
