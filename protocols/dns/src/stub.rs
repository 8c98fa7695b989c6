//! Asking servers that do the whole work.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::answer::{Answer, Said, read};
use crate::config::Config;
use crate::error::{Attempt, Error};
use crate::exchange::{Exchanged, Exchanger, How};
use crate::limits::Limits;
use crate::message::Question;

#[derive(Debug, Default)]
pub(crate) struct Stub {
    /// Who is asked first, if servers take turns.
    turn: AtomicUsize,
}

impl Stub {
    /// Finds the answer. If a server leaves aliases without an end, the rest is asked for. **May suspend.**
    pub(crate) fn resolve(
        &self,
        exchanger: &Exchanger,
        config: &Config,
        limits: &Limits,
        question: &Question,
    ) -> Result<Answer, Error> {
        let mut aliases = Vec::new();
        let mut current = question.clone();
        loop {
            // Each round brings one at least.
            let left = limits.aliases.saturating_sub(aliases.len());
            match self.ask(exchanger, config, limits, &current, left)? {
                Said::Answer(mut answer) => {
                    answer.records.splice(0..0, aliases);
                    answer.question = question.clone();
                    return Ok(*answer);
                }
                Said::Further {
                    aliases: more,
                    name,
                } => {
                    aliases.extend(more);
                    current = Question::new(name, question.record_type());
                }
            }
        }
    }

    fn ask(
        &self,
        exchanger: &Exchanger,
        config: &Config,
        limits: &Limits,
        question: &Question,
        most_aliases: usize,
    ) -> Result<Said, Error> {
        let how = How {
            timeout: config.timeout,
            recursion: true,
            edns: config.edns,
            random_case: config.random_case,
            tcp: config.tcp,
            carrier: config.carrier.clone(),
            strangers: limits.strangers,
        };
        let mut attempts = Vec::new();
        for server in self.order(config) {
            match exchanger.exchange(server, question, how.clone(), &mut 0)? {
                Exchanged::Failed(attempt) => attempts.push(attempt),
                Exchanged::Answer(transport, message) => {
                    match read(question, &message, Some(server), most_aliases) {
                        Ok(said) => return Ok(said),
                        Err(failure) => attempts.push(Attempt {
                            server,
                            transport,
                            failure,
                        }),
                    }
                }
            }
        }
        Err(Error::NoAnswer {
            question: question.to_string(),
            attempts: attempts.into(),
        })
    }

    /// Each server once, and all of them again for as often as it is wished.
    fn order(&self, config: &Config) -> impl Iterator<Item = SocketAddr> {
        let first = match config.rotate {
            true => self.turn.fetch_add(1, Ordering::Relaxed),
            false => 0,
        };
        let servers = config.servers.clone();
        let count = servers.len();
        (0..count * config.attempts).map(move |index| servers[first.wrapping_add(index) % count])
    }
}
