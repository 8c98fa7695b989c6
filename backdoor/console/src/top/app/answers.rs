//! What the server's answers change.

use std::time::Instant;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{App, Link, key_of};
use crate::top::asker::{About, Answer};
use crate::top::glance::{Frame, Glance, Info};
use crate::top::history::Histories;

/// A server that takes long to answer is asked less often: it works for us at most a quarter of the time.
const REST: u32 = 3;

impl App {
    pub(in crate::top) fn take(&mut self, answer: Answer) {
        match answer {
            Answer::Lost(why) => {
                self.outstanding.clear();
                self.kill = None;
                self.link = Link::Lost {
                    why,
                    since: self.now,
                };
            }
            Answer::Connected { pid, application } => {
                self.link = Link::Up;
                self.due = self.now;
                self.forced = true;
                if pid == self.pid {
                    return self.say("connected again", false);
                }
                self.say(format!("a new process: {pid}, it was {}", self.pid), false);
                self.pid = pid;
                self.application = application;
                self.glance = None;
                self.open = None;
                self.dialog = None;
                self.workers = Histories::default();
                self.coroutines = Histories::default();
                self.groups = Histories::default();
            }
            Answer::Value(about, value) => {
                let asked = self.outstanding.iter().find(|(it, _)| *it == about);
                let asked = asked.map_or(self.now, |(_, asked)| *asked);
                self.outstanding.retain(|(it, _)| *it != about);
                match about {
                    About::Glance => self.take_glance(value, asked),
                    About::Info(id) => self.take_info(id, value),
                    About::Backtrace(id) => self.take_backtrace(id, value),
                    About::Kill => match value {
                        Ok(said) => self.say(said.as_str().unwrap_or("asked it to end"), false),
                        Err(why) => self.say(why, true),
                    },
                }
            }
        }
    }

    fn take_glance(&mut self, value: Result<Value, String>, asked: Instant) {
        let took = self.now.saturating_duration_since(asked);
        self.due = (asked + self.every).max(self.now + took * REST);
        let glance: Glance = match value.and_then(read) {
            Ok(glance) => glance,
            Err(why) => return self.say(why, true),
        };
        let loads = glance.workers.iter();
        let loads = loads.filter_map(|worker| Some((worker.worker, worker.load?)));
        self.workers.push(loads);
        let rows = glance.rows.iter();
        // A change of tab may have come in between.
        if glance.groups.is_some() {
            let loads = rows.filter_map(|row| Some((row.name.clone(), row.load?)));
            self.groups.push(loads);
        } else {
            let loads = rows.filter_map(|row| Some((row.id?, row.load?)));
            self.coroutines.push(loads);
        }
        self.glance = Some(glance);
        self.follow();
    }

    /// Puts the selection where its row is now.
    fn follow(&mut self) {
        let key = self.follows.as_ref();
        let place = key.and_then(|key| self.rows().iter().position(|row| key_of(row) == *key));
        let last = self.rows().len().saturating_sub(1);
        let stays = if key.is_some() {
            self.table.selected().unwrap_or(0)
        } else {
            0
        };
        self.table.select(Some(place.unwrap_or(stays).min(last)));
    }

    fn take_info(&mut self, id: u64, value: Result<Value, String>) {
        let now = self.now;
        let Some(open) = self.open.as_mut().filter(|open| open.id == id) else {
            return;
        };
        match value.and_then(read::<Info>) {
            Ok(info) => {
                if let Some((cpu, at)) = open.latest {
                    let past = now.saturating_duration_since(at).as_secs_f64();
                    open.load.push((info.cpu - cpu) / past.max(1e-6));
                }
                open.latest = Some((info.cpu, now));
                open.name.clone_from(&info.name);
                open.info = Some(info);
            }
            // The only reason that there is, but for a server that is no more.
            Err(_) => open.ended = true,
        }
    }

    fn take_backtrace(&mut self, id: u64, value: Result<Value, String>) {
        let Some(open) = self.open.as_mut().filter(|open| open.id == id) else {
            return;
        };
        match value.and_then(read::<Vec<Frame>>) {
            Ok(frames) => {
                open.frames = frames;
                open.no_frames = None;
            }
            Err(_) if open.ended => {}
            Err(why) => {
                open.frames.clear();
                open.no_frames = Some(why);
            }
        }
        open.scroll = open.scroll.min(open.frames.len().saturating_sub(1));
    }
}

fn read<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_json::from_value(value)
        .map_err(|error| format!("the server's answer is not understood: {error}"))
}
